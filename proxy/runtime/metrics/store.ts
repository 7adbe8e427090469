import type { WeirStats } from '../stats.ts';
import { counter, gauge, type MetricDefinition, one, type Sample } from './definition.ts';

/** The metrics of the cache in memory and on disk. */
export const STORE_METRICS: readonly MetricDefinition[] = [
  gauge('weir_memory_bytes', 'Bytes that entries take in memory', ({ memory }) => one(memory.bytes)),
  gauge('weir_memory_limit_bytes', 'Bytes that entries may take in memory', ({ memory }) =>
    one(memory.limitBytes),
  ),
  gauge(
    'weir_memory_entries',
    'Entries in memory; an entry in several workers counts several times',
    ({ memory }) => one(memory.entries),
  ),
  counter('weir_memory_evictions_total', 'Entries evicted to make room', ({ memory }) =>
    one(memory.evictions),
  ),
  counter('weir_memory_variant_evictions_total', 'Variants evicted beyond max-variants', ({ memory }) =>
    one(memory.variantEvictions),
  ),
  gauge(
    'weir_disk_bytes',
    'Content bytes of the entries on disk',
    onDisk(({ bytes }) => bytes),
  ),
  gauge(
    'weir_disk_used_bytes',
    'Bytes in use in the file',
    onDisk(({ usedBytes }) => usedBytes),
  ),
  gauge(
    'weir_disk_limit_bytes',
    'Bytes that may be in use in the file',
    onDisk(({ limitBytes }) => limitBytes),
  ),
  gauge(
    'weir_disk_entries',
    'Entries on disk',
    onDisk(({ entries }) => entries),
  ),
  counter(
    'weir_disk_evictions_total',
    'Entries evicted to make room',
    onDisk(({ evictions }) => evictions),
  ),
  counter(
    'weir_disk_variant_evictions_total',
    'Variants evicted beyond max-variants',
    onDisk(({ variantsRemoved }) => variantsRemoved),
  ),
  counter(
    'weir_disk_promotions_total',
    'Entries copied from disk to memory',
    onDisk(({ promotions }) => promotions),
  ),
  counter(
    'weir_disk_refused_total',
    'Responses that the disk tier did not store, for example because it had no room',
    onDisk(({ refused }) => refused),
  ),
  counter(
    'weir_disk_corrupt_total',
    'Records that failed their checksum',
    onDisk(({ corrupt }) => corrupt),
  ),
  counter(
    'weir_disk_discarded_total',
    'Entries removed because their content was missing or failed its checksum',
    onDisk(({ discarded }) => discarded),
  ),
  counter(
    'weir_disk_full_errors_total',
    'Times that the file system was full or failed',
    onDisk(({ fullErrors }) => fullErrors),
  ),
  gauge(
    'weir_disk_storing',
    '1: responses are stored on disk; 0: the file system is full or failed',
    onDisk(({ storing }) => Number(storing === 'on')),
  ),
  gauge(
    'weir_disk_evict_last_full',
    '1: entries of routes with evict: last leave no room for others',
    onDisk(({ evictLastFull }) => Number(evictLastFull)),
  ),
];

/** Gives no sample if there is no disk tier. */
function onDisk(value: (disk: NonNullable<WeirStats['disk']>) => number) {
  return ({ disk }: WeirStats): Sample[] => (disk === null ? [] : one(value(disk)));
}
