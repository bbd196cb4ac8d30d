"""The tables of a catalogue, and what older formats lack of them.

Format 1 lacks the times of change and the inodes, formats 1 and 2 when pictures were taken.
"""

from __future__ import annotations

FORMAT = "3"
SCHEMA = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE roots (path BLOB PRIMARY KEY) WITHOUT ROWID",
    # Width and height are of the upright picture, in pixels. Without a row in the vectors, it is
    # one that cannot be read.
    "CREATE TABLE contents (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, "
    "row INTEGER UNIQUE, width INTEGER, height INTEGER, caption TEXT, perplexity REAL, "
    "error_code TEXT, error TEXT, taken TEXT)",
    # The offset is of a member in its tar file. Without a content, the file could not be opened.
    "CREATE TABLE files (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, offset INTEGER, "
    "content INTEGER REFERENCES contents (id), error_code TEXT, error TEXT, ctime_ns INTEGER, "
    "inode INTEGER) WITHOUT ROWID",
    "CREATE INDEX files_by_content ON files (content)",
)
SINCE = {  # what each format lacks
    "1": (
        "ALTER TABLE files ADD COLUMN ctime_ns INTEGER",
        "ALTER TABLE files ADD COLUMN inode INTEGER",
        "ALTER TABLE contents ADD COLUMN taken TEXT",
    ),
    "2": ("ALTER TABLE contents ADD COLUMN taken TEXT",),
}
