-- What memories are written and their own files may not have yet, and what processes were told of entries: sealed under a key of the entry.
ALTER TABLE node ADD COLUMN memory_write INTEGER NOT NULL DEFAULT 0;
ALTER TABLE node ADD COLUMN memory_entry INTEGER NOT NULL DEFAULT 0;
CREATE TABLE memory_keys (
    number INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    entry  INTEGER NOT NULL,
    key    BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX memory_keys_by_entry ON memory_keys(tenant, entry);
CREATE TABLE memory_writes (
    number  INTEGER PRIMARY KEY,
    tenant  INTEGER NOT NULL,
    key     INTEGER,
    payload BLOB NOT NULL
) STRICT;
CREATE INDEX memory_writes_by_key ON memory_writes(key) WHERE key IS NOT NULL;
CREATE TABLE remembered (
    place    INTEGER PRIMARY KEY,
    position INTEGER NOT NULL,
    ordinal  INTEGER NOT NULL,
    key      INTEGER NOT NULL,
    payload  BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX remembered_by_position ON remembered(position, ordinal);
CREATE INDEX remembered_by_key ON remembered(key);
