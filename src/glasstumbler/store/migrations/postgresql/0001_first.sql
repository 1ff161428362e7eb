-- Text is compared byte by byte, as SQLite does it. The record: entries are only ever added. The other tables are documents whose digests the entries carry.
CREATE TABLE meta (key TEXT COLLATE "C" PRIMARY KEY, value TEXT COLLATE "C" NOT NULL);

CREATE TABLE entry (
  number BIGINT PRIMARY KEY,
  kind TEXT COLLATE "C" NOT NULL,
  service TEXT COLLATE "C" NOT NULL,
  order_number BIGINT,
  body BYTEA NOT NULL,
  hash BYTEA NOT NULL
);

CREATE TABLE orders (
  number BIGINT PRIMARY KEY,
  service TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  account TEXT COLLATE "C" NOT NULL,
  coin TEXT COLLATE "C" NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  wake BIGINT,
  doc BYTEA NOT NULL
);
CREATE UNIQUE INDEX orders_id ON orders (service, id);
CREATE INDEX orders_account ON orders (service, account, number);
CREATE INDEX orders_wake ON orders (wake, number) WHERE wake IS NOT NULL;

-- Every key that a service can be paid to.
CREATE TABLE watch (
  coin TEXT COLLATE "C" NOT NULL,
  key BYTEA NOT NULL,
  service TEXT COLLATE "C" NOT NULL,
  branch TEXT COLLATE "C" NOT NULL,
  idx BIGINT NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  order_number BIGINT,
  PRIMARY KEY (coin, key)
);

CREATE TABLE deposit (
  coin TEXT COLLATE "C" NOT NULL,
  txid TEXT COLLATE "C" NOT NULL,
  vout BIGINT NOT NULL,
  order_number BIGINT NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  height BIGINT,
  mature BIGINT,
  doc BYTEA NOT NULL,
  PRIMARY KEY (coin, txid, vout)
);
CREATE INDEX deposit_order ON deposit (order_number);
CREATE INDEX deposit_mature ON deposit (coin, mature) WHERE state = 'seen' AND mature IS NOT NULL;
CREATE INDEX deposit_unmined ON deposit (coin) WHERE state != 'gone' AND height IS NULL;

CREATE TABLE coin (
  number BIGINT PRIMARY KEY,
  service TEXT COLLATE "C" NOT NULL,
  coin TEXT COLLATE "C" NOT NULL,
  txid TEXT COLLATE "C" NOT NULL,
  vout BIGINT NOT NULL,
  height BIGINT,
  spent_by BIGINT,
  doc BYTEA NOT NULL
);
CREATE UNIQUE INDEX coin_outpoint ON coin (coin, txid, vout);
CREATE INDEX coin_ready ON coin (service, coin, number) WHERE spent_by IS NULL AND height IS NOT NULL;

CREATE TABLE payment (
  number BIGINT PRIMARY KEY,
  service TEXT COLLATE "C" NOT NULL,
  coin TEXT COLLATE "C" NOT NULL,
  txid TEXT COLLATE "C" NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  mature BIGINT,
  doc BYTEA NOT NULL
);
CREATE UNIQUE INDEX payment_txid ON payment (coin, txid);
CREATE INDEX payment_open ON payment (coin, number) WHERE state IN ('stored', 'sent', 'mined');
CREATE INDEX payment_mature ON payment (coin, mature) WHERE state = 'mined';

CREATE TABLE account (
  id TEXT COLLATE "C" PRIMARY KEY,
  service TEXT COLLATE "C" NOT NULL,
  key_hash BYTEA NOT NULL,
  created BIGINT NOT NULL,
  blocked BIGINT NOT NULL
);
CREATE UNIQUE INDEX account_key ON account (service, key_hash);

CREATE TABLE code (
  number BIGINT PRIMARY KEY,
  service TEXT COLLATE "C" NOT NULL,
  code TEXT COLLATE "C" NOT NULL,
  doc BYTEA NOT NULL
);
CREATE UNIQUE INDEX code_name ON code (service, code);

-- Where the watch stands on each chain: the last blocks that it has taken in.
CREATE TABLE block (
  coin TEXT COLLATE "C" NOT NULL,
  height BIGINT NOT NULL,
  hash TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (coin, height)
);

CREATE TABLE counter (name TEXT COLLATE "C" PRIMARY KEY, value BIGINT NOT NULL);

CREATE TABLE schema_version (number BIGINT NOT NULL);

-- Of each process that writes: the mark of its last group of changes. It is there if, and only if, the group stands.
CREATE TABLE writer (id TEXT PRIMARY KEY, last TEXT NOT NULL, at TIMESTAMPTZ NOT NULL);

-- What one process at a time does: whoever does it holds a lock on its row.
CREATE TABLE task (name TEXT PRIMARY KEY);
