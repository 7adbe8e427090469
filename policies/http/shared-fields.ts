import type { Fields } from './fields.ts';

/** Fields that many responses have in common, such as those of a stored entry, and what a listener has made of them once. */
export interface SharedFields {
  readonly fields: Fields;
  /** Null: no listener has sent them yet. */
  lines: SharedLines | null;
}

/** RFC 9112 §5: the field lines as HTTP/1.1 sends them, without those that frame a message. */
export interface SharedLines {
  readonly text: string;
  /** RFC 9110 §8.6: the length that the fields declare; null: none, or not a valid one. */
  readonly declaredBytes: number | null;
  readonly hasDate: boolean;
}
