import { counter, gauge, type MetricDefinition, one } from './definition.ts';

export const FENCE_METRICS: readonly MetricDefinition[] = [
  gauge('weir_fence_sequence', 'The last sequence in force', ({ fence }) => one(fence.sequence)),
  gauge('weir_fence_durable_sequence', 'The last sequence that is synced to disk', ({ fence }) =>
    one(fence.durableSequence),
  ),
  gauge('weir_fence_holds', 'Tags that are held: by writes, reloads and changes in progress', ({ fence }) =>
    one(fence.holds),
  ),
  counter('weir_fence_invalidations_total', 'Invalidations', ({ fence }) => one(fence.invalidations)),
  counter('weir_fence_overflows_total', 'Records evicted from a full bucket', ({ fence }) =>
    one(fence.overflows),
  ),
  counter('weir_fence_failures_total', 'Invalidations that could not be made durable', ({ fence }) =>
    one(fence.failures),
  ),
  gauge('weir_fence_failing', '1: the last write to the state failed', ({ fence }) =>
    one(Number(fence.isFailing)),
  ),
];
