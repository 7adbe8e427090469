import type { CloudEvent } from '../../formats/cloudevents.ts';

/** The maximum number of sources whose sequence is followed. */
const MAX_SOURCES = 100;

/**
 * A position of a webhook feed: the number of deliveries and gaps, and, if every delivery since the last gap was a
 * CloudEvent with a `sequence`, the last sequence of each source. By these a missing delivery is detected even after
 * a restart. Written as `12`, or as `12` and the sequences in JSON.
 */
export interface WebhookPosition {
  readonly count: bigint;
  /** Null: a delivery had no sequence, so missing deliveries can't be detected. */
  readonly sequences: ReadonlyMap<string, bigint> | null;
}

export const firstPosition: WebhookPosition = { count: 0n, sequences: new Map() };

/** Null: the text is not a position of this feed. */
export function parsePosition(text: string): WebhookPosition | null {
  const match = /^(\d+)(?: (\{.*\}))?$/s.exec(text);
  if (match === null) return null;
  const count = BigInt(match[1]!);
  if (match[2] === undefined) return { count, sequences: null };
  const sequences = parseSequences(match[2]);
  return sequences === null ? null : { count, sequences };
}

export function formatPosition(position: WebhookPosition): string {
  if (position.sequences === null || position.sequences.size === 0) return showPosition(position);
  const sequences = Object.fromEntries(
    [...position.sequences].map(([source, last]) => [source, String(last)]),
  );
  return `${position.count} ${JSON.stringify(sequences)}`;
}

export function showPosition(position: WebhookPosition): string {
  return String(position.count);
}

export type Advance =
  | { readonly kind: 'next'; readonly position: WebhookPosition }
  | { readonly kind: 'hole'; readonly position: WebhookPosition; readonly reason: string };

/** The position after one more delivery. `events`: null if the format has no sequences. */
export function advance(position: WebhookPosition, events: readonly CloudEvent[] | null): Advance {
  const count = position.count + 1n;
  const read = events === null || events.length === 0 ? null : sequencesOf(events);
  if (read === null || position.sequences === null)
    return { kind: 'next', position: { count, sequences: null } };
  const sequences = new Map(position.sequences);
  let hole: string | null = null;
  for (const { source, sequence } of read) {
    const last = sequences.get(source);
    if (last !== undefined && sequence > last + 1n) {
      hole ??= `${source} went from sequence ${last} to ${sequence}`;
    }
    // A late or repeated event does not move the sequence back.
    if (last === undefined || sequence > last) sequences.set(source, sequence);
  }
  const next = { count, sequences: sequences.size > MAX_SOURCES ? null : sequences };
  return hole === null ? { kind: 'next', position: next } : { kind: 'hole', position: next, reason: hole };
}

/** The position after a gap, which covers what was missed: sequences start again. */
export function afterGap(position: WebhookPosition): WebhookPosition {
  return { count: position.count + 1n, sequences: new Map() };
}

/** CloudEvents sequence extension: only integers show that one is missing. Null: an event has none. */
function sequencesOf(events: readonly CloudEvent[]): { source: string; sequence: bigint }[] | null {
  const read: { source: string; sequence: bigint }[] = [];
  for (const { attributes } of events) {
    const sequence = String(attributes['sequence'] ?? '');
    if (!/^\d{1,40}$/.test(sequence)) return null;
    read.push({ source: String(attributes['source']), sequence: BigInt(sequence) });
  }
  return read;
}

function parseSequences(text: string): ReadonlyMap<string, bigint> | null {
  try {
    const entries = Object.entries(JSON.parse(text) as Record<string, string>);
    return new Map(entries.map(([source, last]) => [source, BigInt(last)]));
  } catch {
    // Clients may send anything as a position.
    return null;
  }
}
