-- What people are asked and told, and what they approved for good. Their payloads are sealed under the tenant's key.
ALTER TABLE node ADD COLUMN question INTEGER NOT NULL DEFAULT 0;
CREATE TABLE questions (
    number  INTEGER PRIMARY KEY,
    tenant  INTEGER NOT NULL,
    state   INTEGER NOT NULL,
    payload BLOB NOT NULL,
    answer  BLOB
) STRICT;
CREATE TABLE approvals (
    number  INTEGER PRIMARY KEY,
    tenant  INTEGER NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE TABLE notices (
    number  INTEGER PRIMARY KEY,
    tenant  INTEGER NOT NULL,
    payload BLOB NOT NULL
) STRICT;
