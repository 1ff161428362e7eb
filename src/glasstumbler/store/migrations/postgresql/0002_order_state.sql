-- Orders are counted by state, without reading them.
CREATE INDEX orders_state ON orders (service, state);
