-- Orders and entries are looked at a page at a time: by service, by state, by order.
DROP INDEX orders_state;
CREATE INDEX orders_state ON orders (service, state, number);
CREATE INDEX orders_service ON orders (service, number);
CREATE INDEX entry_order ON entry (order_number, number) WHERE order_number IS NOT NULL;
CREATE INDEX entry_service ON entry (service, number);
