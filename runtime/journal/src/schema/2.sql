CREATE TABLE chains (
    tenant INTEGER PRIMARY KEY,
    after INTEGER NOT NULL,
    place INTEGER NOT NULL,
    number INTEGER NOT NULL,
    signed INTEGER NOT NULL
) STRICT;
-- What tenants were told before they had a chain is in no line of it, and its first line says so.
INSERT INTO chains(tenant, after, place, number, signed)
    SELECT DISTINCT tenant, (SELECT position FROM node), 0, 0, 0 FROM processes;

CREATE TABLE audit (
    place INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    previous INTEGER NOT NULL,
    first INTEGER NOT NULL,
    position INTEGER NOT NULL,
    at_ns INTEGER NOT NULL,
    head BLOB NOT NULL,
    lines BLOB NOT NULL
) STRICT;

CREATE TABLE checkpoints (
    tenant INTEGER NOT NULL,
    number INTEGER NOT NULL,
    place INTEGER NOT NULL,
    at_ns INTEGER NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (tenant, number)
) STRICT, WITHOUT ROWID;
