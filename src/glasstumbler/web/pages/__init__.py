"""The laboratory in a browser: a thin edge over the house. Each section is a file with one function, `routes(site)`."""
