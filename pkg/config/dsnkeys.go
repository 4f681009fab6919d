package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// dsnKeys are the keys of a PostgreSQL connection string.
type dsnKeys struct {
	order  []string
	values map[string]string
	pairs  bool // written as "key=value", where a password that is not quoted ends at a space
}

func (k *dsnKeys) set(key, value string) {
	if _, ok := k.values[key]; !ok {
		k.order = append(k.order, key)
	}
	k.values[key] = value // the last one counts, as in libpq
}

func (k *dsnKeys) drop(key string) {
	delete(k.values, key)
	k.order = slices.DeleteFunc(k.order, func(other string) bool { return other == key })
}

// replace sets a key in the place of another, unless it is given.
func (k *dsnKeys) replace(key, by, value string) {
	k.drop(key)
	if _, ok := k.values[by]; !ok {
		k.set(by, value)
	}
}

// encrypt replaces a key that asks for TLS, unless sslmode asks for more.
func (k *dsnKeys) encrypt(key string) {
	k.drop(key)
	switch k.values["sslmode"] {
	case "", "disable", "allow", "prefer":
		k.set("sslmode", "require")
	}
}

// translate makes the keys those that the driver knows, and reports whether it had to.
// The driver passes on to the server what it does not know, and the server refuses the
// connection because of the first one: so all that are not understood are named here.
func (k *dsnKeys) translate() (changed bool, err error) {
	var problems, unknown []string
	order := slices.Clone(k.order)
	for i, key := range order {
		value := k.values[key]
		if key == "sslmode" {
			switch value {
			case "", "disable", "allow", "prefer", "require", "verify-ca", "verify-full":
			case "no-verify": // of node-postgres: encrypted, and the certificate is not looked at
				changed = true
				k.set(key, "require")
				k.drop("sslrootcert") // with one, require looks at it
			default:
				problems = append(problems, "sslmode must be disable, allow, prefer, require, verify-ca or verify-full")
			}
			continue
		}
		if advice := valueAdvice(key, value); advice != "" {
			problems = append(problems, key+" "+advice)
			continue
		}
		if slices.Contains(driverKeys, key) || slices.Contains(serverSettings, strings.ToLower(key)) || strings.Contains(key, ".") {
			continue
		}
		rule, ok := dsnRules[key]
		if !ok {
			if k.pairs && slices.Contains(order[:i], "password") {
				return false, errQuote // it may be a part of it
			}
			unknown = append(unknown, key)
			continue
		}
		advice := rule(k, key, strings.ToLower(value))
		if advice != "" {
			problems = append(problems, key+": "+advice)
		}
		changed = true
	}
	if len(unknown) > 0 {
		problems = append(problems, fmt.Sprintf("%s: not a key of PostgreSQL; take it out, or write a setting of the server as options=-cNAME=VALUE", strings.Join(unknown, ", ")))
	}
	if len(problems) > 0 {
		return false, errors.New("has keys that cannot be used: " + strings.Join(problems, "; "))
	}
	return changed, nil
}

// SessionSettings checks what the driver would pass on to the server as settings of a
// session, where they come from a service file, which is not read before, and removes
// what is not one.
func SessionSettings(settings map[string]string) error {
	keys := dsnKeys{values: map[string]string{}}
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		keys.set(key, settings[key])
	}
	if _, err := keys.translate(); err != nil {
		return err
	}
	for _, key := range keys.order {
		if _, given := settings[key]; !given && key != "application_name" {
			return fmt.Errorf("has a key that has to be written as %s=%s there", key, keys.values[key])
		}
	}
	clear(settings)
	maps.Copy(settings, keys.values)
	return nil
}

// driverKeys are those that the driver understands as libpq does, and its own.
var driverKeys = []string{
	"host", "port", "dbname", "database", "user", "password", "passfile", "service", "servicefile",
	"connect_timeout", "target_session_attrs", "application_name", "options", "client_encoding",
	"sslkey", "sslcert", "sslcertmode", "sslrootcert", "sslnegotiation", "sslpassword", "sslsni",
	"min_protocol_version", "max_protocol_version", "channel_binding", "require_auth", "krbspn", "krbsrvname",
	"default_query_exec_mode", "statement_cache_capacity", "description_cache_capacity",
}

// driverValues are the values that the keys of the driver can have; it refuses others.
var driverValues = map[string][]string{
	"channel_binding":         {"disable", "prefer", "require"},
	"sslnegotiation":          {"postgres", "direct"},
	"sslcertmode":             {"disable", "allow", "require"},
	"sslsni":                  {"0", "1"},
	"min_protocol_version":    {"3.0", "3.2", "latest"},
	"max_protocol_version":    {"3.0", "3.2", "latest"},
	"default_query_exec_mode": {"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"},
	// Those of libpq that lead to a server that takes no writes are left out.
	"target_session_attrs": {"any", "read-write", "primary"},
}

// valueAdvice says what to write instead of a value that the driver refuses.
func valueAdvice(key, value string) string {
	if values, ok := driverValues[key]; ok && value != "" && !slices.Contains(values, value) {
		advice := "must be " + strings.Join(values, " or ")
		if key == "target_session_attrs" {
			advice += ": rows are written"
		}
		return advice
	}
	switch key {
	case "connect_timeout", "statement_cache_capacity", "description_cache_capacity":
		if n, err := strconv.Atoi(value); value != "" && (err != nil || n < 0) {
			return "must be a number, 0 or more"
		}
	case "port":
		for port := range strings.SplitSeq(value, ",") {
			if n, err := strconv.Atoi(port); port != "" && (err != nil || n < 1 || n > 65535) {
				return "must be a number from 1 to 65535, or one for each host"
			}
		}
	}
	return ""
}

// dsnRule says what becomes of a key that the driver does not know: it is translated or
// dropped, or an advice is returned.
type dsnRule func(k *dsnKeys, key, value string) (advice string)

// dropped is for what changes nothing, or what ampipe does in any case.
func dropped(k *dsnKeys, key, _ string) string {
	k.drop(key)
	return ""
}

// droppedIf is for a key with which only these values can be had.
func droppedIf(advice string, values ...string) dsnRule {
	return func(k *dsnKeys, key, value string) string {
		if value != "" && !slices.Contains(values, value) {
			return advice
		}
		k.drop(key)
		return ""
	}
}

func refused(advice string) dsnRule {
	return func(*dsnKeys, string, string) string { return advice }
}

const (
	ofJDBC  = "is a key of JDBC; take it out"
	ofPool  = "is a key of another client's pool; take it out: writers says how many connections are used"
	ofOAuth = "OAuth is not supported; use a password or a client certificate"
)

// dsnRules has the other keys of libpq's documentation, and those that are in the
// connection strings that providers and other clients hand out.
var dsnRules = map[string]dsnRule{
	"fallback_application_name": func(k *dsnKeys, key, _ string) string {
		k.replace(key, "application_name", k.values[key])
		return ""
	},
	"hostaddr": func(k *dsnKeys, key, value string) string {
		if _, given := k.values["host"]; given || !k.pairs {
			return "write the address as host"
		}
		k.replace(key, "host", value)
		return ""
	},
	"requirepeer":    refused("is not supported; take it out"),
	"replication":    droppedIf("ampipe writes rows; take it out", "false", "off", "no", "0"),
	"gssencmode":     droppedIf("GSSAPI encryption is not supported; write gssencmode=disable and an sslmode", "disable", "prefer"),
	"gsslib":         dropped,
	"gssdelegation":  droppedIf("is not supported; take it out", "0"),
	"sslcompression": droppedIf("is not supported; take it out", "0"),
	"sslcrl":         droppedIf("revocation lists are not read; take it out"),
	"sslcrldir":      droppedIf("revocation lists are not read; take it out"),
	"sslkeylogfile":  refused("is not supported; take it out"),
	"ssl_min_protocol_version": droppedIf("1.2 is the least that is used; set ssl_min_protocol_version on the server for more",
		"tlsv1", "tlsv1.1", "tlsv1.2"),
	"ssl_max_protocol_version": droppedIf("set ssl_max_protocol_version on the server", "tlsv1.3"),
	"scram_client_key":         refused("is not supported; use a password"),
	"scram_server_key":         refused("is not supported; use a password"),
	"oauth_issuer":             refused(ofOAuth), "oauth_client_id": refused(ofOAuth), "oauth_client_secret": refused(ofOAuth), "oauth_scope": refused(ofOAuth),
	"load_balance_hosts": droppedIf("hosts are tried in their order; write one host, or take it out", "disable"),
	// A silent connection is probed in any case, more often than the defaults do.
	"keepalives": dropped, "keepalives_idle": dropped, "keepalives_interval": dropped, "keepalives_count": dropped,
	"tcp_user_timeout": dropped,
	"requiressl": func(k *dsnKeys, key, value string) string {
		if value != "1" {
			return dropped(k, key, value)
		}
		k.encrypt(key)
		return ""
	},
	"ssl": func(k *dsnKeys, key, value string) string {
		switch value {
		case "", "true", "1":
			k.encrypt(key)
		case "false", "0":
			k.replace(key, "sslmode", "disable")
		default:
			return "write sslmode=require or sslmode=disable"
		}
		return ""
	},
	"uselibpqcompat": dropped,
	// Of Prisma and its relatives: no prepared statement outlives a transaction.
	"pgbouncer": func(k *dsnKeys, key, value string) string {
		if value != "true" && value != "1" {
			return dropped(k, key, value)
		}
		k.replace(key, "default_query_exec_mode", "exec")
		return ""
	},
	"schema":           refused("write schema: beside table: instead"),
	"currentSchema":    refused("write schema: beside table: instead"),
	"connection_limit": refused(ofPool), "pool_timeout": refused(ofPool), "pool_size": refused(ofPool), "max_pool_size": refused(ofPool),
	// Of the driver's own pool, which ampipe sizes itself.
	"pool_max_conns": dropped, "pool_min_conns": dropped, "pool_min_idle_conns": dropped, "pool_max_conn_lifetime": dropped,
	"pool_max_conn_idle_time": dropped, "pool_health_check_period": dropped, "pool_max_conn_lifetime_jitter": dropped, "pool_ping_timeout": dropped,
	"sslaccept":            refused("is a key of Prisma; write sslmode=verify-full or sslmode=require"),
	"sslidentity":          refused("is a key of Prisma; write sslcert and sslkey"),
	"statement_cache_size": refused("write default_query_exec_mode=exec for what 0 means"),
	"prepareThreshold":     refused("write default_query_exec_mode=exec for what 0 means"),
	"socket_timeout":       refused("is not needed: the server ends what takes too long; take it out"),
	"socketTimeout":        refused(ofJDBC), "loginTimeout": refused(ofJDBC), "tcpKeepAlive": refused(ofJDBC), "targetServerType": refused("is a key of JDBC; write target_session_attrs"),
	"sslfactory": refused(ofJDBC), "stringtype": refused(ofJDBC), "reWriteBatchedInserts": refused(ofJDBC), "preferQueryMode": refused(ofJDBC),
	"encoding": droppedIf("is not needed: text is sent as UTF8; take it out", "utf8", "utf-8", "unicode"),
	"pool":     refused(ofPool), "poolclass": refused(ofPool), "max_overflow": refused(ofPool), "conn_max_age": refused(ofPool),
	"prepared_statements":           refused("write default_query_exec_mode=exec for what false means"),
	"prepared_statement_cache_size": refused("write default_query_exec_mode=exec for what 0 means"),
	"ApplicationName":               refused("is a key of JDBC; write application_name"),
}

// serverSettings are the settings that a session may have from its beginning, as
// PostgreSQL 12 to 18 list them (pg_settings with the contexts user, superuser,
// backend and superuser-backend), and those that they do not list, in lower case.
var serverSettings = strings.Fields(`
role session_authorization operator_precedence_warning vacuum_cleanup_index_scale_factor
allow_in_place_tablespaces allow_system_table_mods application_name array_nulls backend_flush_after backslash_quote
backtrace_functions bytea_output check_function_bodies client_connection_check_interval client_encoding
client_min_messages commit_delay commit_siblings compute_query_id constraint_exclusion cpu_index_tuple_cost
cpu_operator_cost cpu_tuple_cost createrole_self_grant cursor_tuple_fraction datestyle deadlock_timeout
debug_discard_caches debug_logical_replication_streaming debug_parallel_query debug_pretty_print debug_print_parse
debug_print_plan debug_print_rewritten default_statistics_target default_table_access_method default_tablespace
default_text_search_config default_toast_compression default_transaction_deferrable default_transaction_isolation
default_transaction_read_only dynamic_library_path effective_cache_size effective_io_concurrency enable_async_append
enable_bitmapscan enable_distinct_reordering enable_gathermerge enable_group_by_reordering enable_hashagg
enable_hashjoin enable_incremental_sort enable_indexonlyscan enable_indexscan enable_material enable_memoize
enable_mergejoin enable_nestloop enable_parallel_append enable_parallel_hash enable_partition_pruning
enable_partitionwise_aggregate enable_partitionwise_join enable_presorted_aggregate enable_self_join_elimination
enable_seqscan enable_sort enable_tidscan escape_string_warning event_triggers exit_on_error extension_destdir
extra_float_digits file_copy_method force_parallel_mode from_collapse_limit geqo geqo_effort geqo_generations
geqo_pool_size geqo_seed geqo_selection_bias geqo_threshold gin_fuzzy_search_limit gin_pending_list_limit
hash_mem_multiplier icu_validation_level idle_in_transaction_session_timeout idle_session_timeout
ignore_checksum_failure ignore_system_indexes intervalstyle io_combine_limit jit jit_above_cost jit_debugging_support
jit_dump_bitcode jit_expressions jit_inline_above_cost jit_optimize_above_cost jit_profiling_support
jit_tuple_deforming join_collapse_limit lc_messages lc_monetary lc_numeric lc_time lo_compat_privileges
local_preload_libraries lock_timeout log_connections log_disconnections log_duration log_error_verbosity
log_executor_stats log_lock_failures log_lock_waits log_min_duration_sample log_min_duration_statement
log_min_error_statement log_min_messages log_parameter_max_length log_parameter_max_length_on_error log_parser_stats
log_planner_stats log_replication_commands log_statement log_statement_sample_rate log_statement_stats log_temp_files
log_transaction_sample_rate logical_decoding_work_mem maintenance_io_concurrency maintenance_work_mem
max_parallel_maintenance_workers max_parallel_workers max_parallel_workers_per_gather max_stack_depth
min_parallel_index_scan_size min_parallel_table_scan_size parallel_leader_participation parallel_setup_cost
parallel_tuple_cost password_encryption plan_cache_mode post_auth_delay quote_all_identifiers random_page_cost
recursive_worktable_factor restrict_nonsystem_relation_kind row_security scram_iterations search_path seq_page_cost
session_preload_libraries session_replication_role standard_conforming_strings statement_timeout
stats_fetch_consistency synchronize_seqscans synchronous_commit tcp_keepalives_count tcp_keepalives_idle
tcp_keepalives_interval temp_buffers temp_file_limit temp_tablespaces timezone timezone_abbreviations trace_notify
trace_sort track_activities track_cost_delay_timing track_counts track_functions track_io_timing track_wal_io_timing
transaction_deferrable transaction_isolation transaction_read_only transaction_timeout transform_null_equals
update_process_title vacuum_buffer_usage_limit vacuum_cost_delay vacuum_cost_limit vacuum_cost_page_dirty
vacuum_cost_page_hit vacuum_cost_page_miss vacuum_failsafe_age vacuum_freeze_min_age vacuum_freeze_table_age
vacuum_max_eager_freeze_failure_rate vacuum_multixact_failsafe_age vacuum_multixact_freeze_min_age
vacuum_multixact_freeze_table_age vacuum_truncate wal_compression wal_consistency_checking wal_init_zero wal_recycle
wal_sender_timeout wal_skip_threshold work_mem xmlbinary xmloption zero_damaged_pages
`)
