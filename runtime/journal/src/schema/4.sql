-- Processes that have left memory: what a start reads of each instead of its log. `processes.ended` of each is 2.
CREATE TABLE kinds (kind INTEGER PRIMARY KEY, facts BLOB NOT NULL UNIQUE) STRICT;
CREATE TABLE sleepers (
    process    INTEGER PRIMARY KEY,
    tenant     INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    kind       INTEGER NOT NULL,
    account    INTEGER NOT NULL,
    payer      INTEGER,
    grants     BLOB NOT NULL,
    funds      INTEGER NOT NULL,
    remaining  INTEGER NOT NULL,
    started_ns INTEGER NOT NULL,
    zero_ns    INTEGER NOT NULL,
    wakes_ns   INTEGER,
    name       BLOB
) STRICT;
-- Calls of tools of which nobody has taken what came. Their payloads are sealed under the tenant's key.
ALTER TABLE node ADD COLUMN tool_call INTEGER NOT NULL DEFAULT 0;
CREATE TABLE tool_calls (
    number   INTEGER PRIMARY KEY,
    tenant   INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    question INTEGER,
    payload  BLOB NOT NULL,
    decided  BLOB,
    outcome  BLOB
) STRICT;
