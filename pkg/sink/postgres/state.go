package postgres

// openLock serialises the migrations of the schema ampipe in a database, in all
// processes. Nothing else is shared by tables that have nothing to do with each other.
const openLock int64 = 0x616d7069706530 // "ampipe0"

// openTableLock is the class of the locks that serialise opening a table, so that it
// is made, and truncated, exactly once. Their other half is a hash of its name.
const openTableLock int32 = 0x616d706f // "ampo"

// tableLock is the class of the locks of tables; their other half is the table's
// id. Who adds to a table holds it shared, who takes away holds it alone.
const tableLock int32 = 0x616d7069 // "ampi"

// allParts is the end of the last part of a block. Parts are numbered from 0, and the last
// one reaches to there, so that all of them together are what a whole block is.
const allParts = 1<<31 - 1
