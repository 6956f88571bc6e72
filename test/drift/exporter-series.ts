/** Labels of every series that prometheus-nats-exporter takes from `/jsz`. */
const SERVER = ['server_id', 'server_name', 'cluster', 'domain', 'meta_leader', 'is_meta_leader']
const STREAM = [
  ...SERVER,
  ...['account', 'account_name', 'account_id'],
  ...['stream_name', 'stream_leader', 'is_stream_leader', 'stream_raft_group'],
]
const CONSUMER = [...STREAM, 'consumer_name', 'consumer_leader', 'is_consumer_leader', 'consumer_desc']

/**
 * Series that are none of Pelton's own, with their labels: those of prometheus-nats-exporter (its collectors jsz.go,
 * healthz.go and collector.go, version of June 2026) that Pelton looks at, and those Prometheus makes itself. Control
 * has some of the names as well: they are in the table too.
 */
export const FOREIGN_SERIES: ReadonlyMap<string, readonly string[]> = new Map([
  ['up', []],
  ['ALERTS', ['alertname', 'alertstate']],
  ['gnatsd_healthz_status', ['server_id']],
  ['gnatsd_healthz_status_value', ['server_id', 'value']],
  ['gnatsd_varz_jetstream_stats_storage', ['server_id']],
  ['gnatsd_varz_jetstream_config_max_storage', ['server_id']],
  ['jetstream_server_jetstream_disabled', SERVER],
  ['jetstream_stream_total_messages', STREAM],
  ['jetstream_stream_total_bytes', STREAM],
  ['jetstream_consumer_num_pending', CONSUMER],
  ['jetstream_consumer_num_ack_pending', CONSUMER],
  ['jetstream_consumer_num_waiting', CONSUMER],
  ['jetstream_consumer_delivered_consumer_seq', CONSUMER],
])
