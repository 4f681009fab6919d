package table

import (
	"github.com/apache/arrow-go/v18/arrow"
)

// BlockColumn is the first column of every table: UInt64, never null, ascending
// in scan order (AP 4.3).
const BlockColumn = "_block_num"

// The column types of EVM tables (AP 5).
var (
	timestamp = &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "+00:00"}
	bytes32   = &arrow.FixedSizeBinaryType{ByteWidth: 32}
	bytes20   = &arrow.FixedSizeBinaryType{ByteWidth: 20}
	decimal   = &arrow.Decimal128Type{Precision: 38, Scale: 0}
	uint64T   = arrow.PrimitiveTypes.Uint64
	uint32T   = arrow.PrimitiveTypes.Uint32
	boolean   = arrow.FixedWidthTypes.Boolean
)

func required(name string, t arrow.DataType) arrow.Field { return arrow.Field{Name: name, Type: t} }

func optional(name string, t arrow.DataType) arrow.Field {
	return arrow.Field{Name: name, Type: t, Nullable: true}
}

func listOf(item arrow.DataType) *arrow.ListType {
	return arrow.ListOfField(required("item", item))
}

// Blocks returns the schema of the table blocks, the same for evm-rpc and firehose
// datasets (AP 5).
func Blocks() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		required(BlockColumn, uint64T),
		required("block_num", uint64T),
		required("timestamp", timestamp),
		required("hash", bytes32),
		required("parent_hash", bytes32),
		required("ommers_hash", bytes32),
		required("miner", bytes20),
		required("state_root", bytes32),
		required("transactions_root", bytes32),
		required("receipt_root", bytes32),
		required("logs_bloom", arrow.BinaryTypes.Binary),
		required("difficulty", decimal),
		optional("total_difficulty", decimal),
		required("gas_limit", uint64T),
		required("gas_used", uint64T),
		required("extra_data", arrow.BinaryTypes.Binary),
		required("mix_hash", bytes32),
		required("nonce", uint64T),
		optional("base_fee_per_gas", decimal),
		optional("withdrawals_root", bytes32),
		optional("blob_gas_used", uint64T),
		optional("excess_blob_gas", uint64T),
		optional("parent_beacon_root", bytes32),
		optional("requests_hash", bytes32),
	}, nil)
}

// Logs returns the schema of the table logs, the same for evm-rpc and firehose
// datasets (AP 5).
func Logs() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		required(BlockColumn, uint64T),
		required("block_hash", bytes32),
		required("block_num", uint64T),
		required("timestamp", timestamp),
		required("tx_hash", bytes32),
		required("tx_index", uint32T),
		required("log_index", uint32T),
		required("address", bytes20),
		optional("topic0", bytes32),
		optional("topic1", bytes32),
		optional("topic2", bytes32),
		optional("topic3", bytes32),
		required("data", arrow.BinaryTypes.Binary),
	}, nil)
}

// Transactions returns the schema of the table transactions of an evm-rpc dataset
// (AP 5).
func Transactions() *arrow.Schema {
	access := arrow.StructOf(required("address", bytes20), required("storage_keys", listOf(bytes32)))
	authorization := arrow.StructOf(
		required("chain_id", uint64T),
		required("address", bytes20),
		required("nonce", uint64T),
		required("y_parity", boolean),
		required("r", bytes32),
		required("s", bytes32),
	)
	return arrow.NewSchema([]arrow.Field{
		required(BlockColumn, uint64T),
		required("block_hash", bytes32),
		required("block_num", uint64T),
		required("timestamp", timestamp),
		required("tx_index", uint32T),
		required("tx_hash", bytes32),
		optional("to", bytes20),
		required("nonce", uint64T),
		optional("gas_price", decimal),
		required("gas_limit", uint64T),
		required("value", arrow.BinaryTypes.String),
		required("input", arrow.BinaryTypes.Binary),
		required("r", bytes32),
		required("s", bytes32),
		required("v_parity", boolean),
		optional("chain_id", uint64T),
		required("gas_used", uint64T),
		required("type", arrow.PrimitiveTypes.Int32),
		optional("max_fee_per_gas", decimal),
		optional("max_priority_fee_per_gas", decimal),
		optional("max_fee_per_blob_gas", decimal),
		required("from", bytes20),
		required("status", boolean),
		optional("state_root", bytes32),
		optional("access_list", listOf(access)),
		optional("blob_versioned_hashes", listOf(bytes32)),
		optional("authorization_list", listOf(authorization)),
	}, nil)
}
