-- Where texts lie. Numbers are never given out twice: `words` keeps them of what it has deleted until it is merged.
CREATE TABLE texts (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    process      INTEGER NOT NULL,
    sequence     INTEGER NOT NULL,
    last         INTEGER NOT NULL,
    ordinal      INTEGER NOT NULL,
    generation   INTEGER,
    position     INTEGER NOT NULL,
    end_position INTEGER NOT NULL,
    at_ns        INTEGER NOT NULL
) STRICT;
CREATE INDEX texts_by_time ON texts(at_ns);
CREATE VIRTUAL TABLE words USING fts5(terms, content = '', contentless_delete = 1, tokenize = 'ascii');
CREATE TABLE begun (
    process    INTEGER NOT NULL,
    slot       INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    at_ns      INTEGER NOT NULL,
    PRIMARY KEY (process, slot)
) STRICT, WITHOUT ROWID;
CREATE TABLE state (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    position INTEGER NOT NULL,
    made_for BLOB NOT NULL
) STRICT;
