-- The record: entries are only ever added. The other tables are documents whose digests the entries carry.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE entry (
  number INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  service TEXT NOT NULL,
  order_number INTEGER,
  body BLOB NOT NULL,
  hash BLOB NOT NULL
);

CREATE TABLE orders (
  number INTEGER PRIMARY KEY,
  service TEXT NOT NULL,
  id TEXT NOT NULL,
  account TEXT NOT NULL,
  coin TEXT NOT NULL,
  state TEXT NOT NULL,
  wake INTEGER,
  doc BLOB NOT NULL
);
CREATE UNIQUE INDEX orders_id ON orders (service, id);
CREATE INDEX orders_account ON orders (service, account, number);
CREATE INDEX orders_wake ON orders (wake, number) WHERE wake IS NOT NULL;

-- Every key that a service can be paid to.
CREATE TABLE watch (
  coin TEXT NOT NULL,
  key BLOB NOT NULL,
  service TEXT NOT NULL,
  branch TEXT NOT NULL,
  idx INTEGER NOT NULL,
  kind TEXT NOT NULL,
  order_number INTEGER,
  PRIMARY KEY (coin, key)
) WITHOUT ROWID;

CREATE TABLE deposit (
  coin TEXT NOT NULL,
  txid TEXT NOT NULL,
  vout INTEGER NOT NULL,
  order_number INTEGER NOT NULL,
  state TEXT NOT NULL,
  height INTEGER,
  mature INTEGER,
  doc BLOB NOT NULL,
  PRIMARY KEY (coin, txid, vout)
) WITHOUT ROWID;
CREATE INDEX deposit_order ON deposit (order_number);
CREATE INDEX deposit_mature ON deposit (coin, mature) WHERE state = 'seen' AND mature IS NOT NULL;
CREATE INDEX deposit_unmined ON deposit (coin) WHERE state != 'gone' AND height IS NULL;

CREATE TABLE coin (
  number INTEGER PRIMARY KEY,
  service TEXT NOT NULL,
  coin TEXT NOT NULL,
  txid TEXT NOT NULL,
  vout INTEGER NOT NULL,
  height INTEGER,
  spent_by INTEGER,
  doc BLOB NOT NULL
);
CREATE UNIQUE INDEX coin_outpoint ON coin (coin, txid, vout);
CREATE INDEX coin_ready ON coin (service, coin, number) WHERE spent_by IS NULL AND height IS NOT NULL;

CREATE TABLE payment (
  number INTEGER PRIMARY KEY,
  service TEXT NOT NULL,
  coin TEXT NOT NULL,
  txid TEXT NOT NULL,
  state TEXT NOT NULL,
  mature INTEGER,
  doc BLOB NOT NULL
);
CREATE UNIQUE INDEX payment_txid ON payment (coin, txid);
CREATE INDEX payment_open ON payment (coin, number) WHERE state IN ('stored', 'sent', 'mined');
CREATE INDEX payment_mature ON payment (coin, mature) WHERE state = 'mined';

CREATE TABLE account (
  id TEXT PRIMARY KEY,
  service TEXT NOT NULL,
  key_hash BLOB NOT NULL,
  created INTEGER NOT NULL,
  blocked INTEGER NOT NULL
);
CREATE UNIQUE INDEX account_key ON account (service, key_hash);

CREATE TABLE code (
  number INTEGER PRIMARY KEY,
  service TEXT NOT NULL,
  code TEXT NOT NULL,
  doc BLOB NOT NULL
);
CREATE UNIQUE INDEX code_name ON code (service, code);

-- Where the watch stands on each chain: the last blocks that it has taken in.
CREATE TABLE block (
  coin TEXT NOT NULL,
  height INTEGER NOT NULL,
  hash TEXT NOT NULL,
  PRIMARY KEY (coin, height)
) WITHOUT ROWID;

CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
