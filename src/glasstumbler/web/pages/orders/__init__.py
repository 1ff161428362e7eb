"""Order pages: forms that become a service's own documented requests, and orders as they stand, live."""
