import { combinedMeta, type StoredPart } from '../../policies/rfc9111/parts.ts';
import { joinedTags } from '../fence/tag-hash.ts';
import type { EntryHead } from './entry-head.ts';

/** RFC 9111 §3.4: combines parts of one representation. Only parts that share a strong ETag, and that memory takes. */

export interface PartEntry {
  readonly head: EntryHead;
  readonly content: Uint8Array;
}

/** The newer part combined with all stored ones that it can be combined with; null: there are none. */
export function combineParts(newer: PartEntry, stored: readonly PartEntry[]): PartEntry | null {
  let combined: PartEntry | null = null;
  for (const older of stored) combined = combineTwo(combined ?? newer, older) ?? combined;
  return combined;
}

/** The newer answer's strong ETag confirms the older bytes, so the combination has the newer floor. */
function combineTwo(newer: PartEntry, older: PartEntry): PartEntry | null {
  const { part } = newer.head.meta;
  const { part: olderPart } = older.head.meta;
  const meta = combinedMeta(newer.head.meta, older.head.meta);
  if (part === null || olderPart === null || meta === null) return null;
  const content = joined(part, newer.content, olderPart, older.content);
  const head = {
    ...newer.head,
    ...joinedTags(newer.head, older.head),
    meta,
    sizeBytes: content.byteLength,
  };
  return { head, content };
}

function joined(a: StoredPart, ofA: Uint8Array, b: StoredPart, ofB: Uint8Array): Uint8Array {
  const first = Math.min(a.first, b.first);
  const content = Buffer.allocUnsafeSlow(Math.max(a.last, b.last) - first + 1);
  content.set(ofB, b.first - first);
  content.set(ofA, a.first - first);
  return content;
}
