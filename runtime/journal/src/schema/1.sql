CREATE TABLE node (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    position INTEGER NOT NULL,
    process INTEGER NOT NULL,
    account INTEGER NOT NULL,
    grant_ INTEGER NOT NULL,
    letter INTEGER NOT NULL
) STRICT;
INSERT INTO node(id, position, process, account, grant_, letter) VALUES (1, 0, 0, 0, 0, 0);

CREATE TABLE processes (
    process INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    number INTEGER NOT NULL,
    created INTEGER,
    began INTEGER,
    began_sequence INTEGER,
    holds INTEGER NOT NULL,
    signals INTEGER NOT NULL,
    detached INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    parent_tenant INTEGER,
    parent_number INTEGER,
    key BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX processes_by_pid ON processes(tenant, number);
CREATE INDEX processes_alive ON processes(process) WHERE ended = 0;

CREATE TABLE logs (process INTEGER PRIMARY KEY, last INTEGER NOT NULL, lines INTEGER NOT NULL) STRICT;

CREATE TABLE chunks (
    position INTEGER PRIMARY KEY,
    process INTEGER NOT NULL,
    previous INTEGER NOT NULL,
    first_sequence INTEGER NOT NULL,
    at_ns INTEGER NOT NULL,
    payload BLOB NOT NULL
) STRICT;

CREATE TABLE accounts (
    account INTEGER PRIMARY KEY,
    parent INTEGER,
    balance INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    spent_below INTEGER NOT NULL,
    opened INTEGER NOT NULL
) STRICT;
CREATE INDEX accounts_by_parent ON accounts(parent) WHERE parent IS NOT NULL;

CREATE TABLE grants (
    grant_ INTEGER PRIMARY KEY,
    parent INTEGER,
    tenant INTEGER,
    uses INTEGER NOT NULL,
    revoked INTEGER NOT NULL,
    released INTEGER NOT NULL,
    payload BLOB NOT NULL
) STRICT;

CREATE TABLE letters (
    number INTEGER PRIMARY KEY,
    process INTEGER NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE INDEX letters_by_process ON letters(process);

CREATE TABLE calls (
    number INTEGER PRIMARY KEY,
    caller_tenant INTEGER NOT NULL,
    caller INTEGER NOT NULL,
    receiver_tenant INTEGER NOT NULL,
    receiver INTEGER NOT NULL,
    deadline_ns INTEGER NOT NULL,
    state INTEGER NOT NULL,
    payload BLOB
) STRICT;

CREATE TABLE reports (process INTEGER PRIMARY KEY, payload BLOB NOT NULL) STRICT;

CREATE TABLE tags (
    tenant INTEGER NOT NULL,
    bit INTEGER NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (tenant, bit)
) STRICT, WITHOUT ROWID;

CREATE TABLE frozen (place INTEGER PRIMARY KEY, selection BLOB NOT NULL UNIQUE) STRICT;
