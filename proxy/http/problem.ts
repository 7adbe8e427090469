/** Problem documents (RFC 9457). */
import type { Fields } from '../../policies/http/fields.ts';

export interface Problem {
  readonly status: number;
  /** Content-Type, Content-Length, Cache-Control, and the fields of the particular problem. */
  readonly fields: Fields;
  readonly content: Uint8Array;
}

/** Members that not every problem has (RFC 9457 §3.2). */
export interface ProblemMembers {
  readonly type?: string;
  readonly errors?: readonly string[];
}

/**
 * `title` names the kind of problem and is always the same; `detail` describes this occurrence and holds no secrets
 * (RFC 9457 §3.1). The response has `no-store`, because 404, 405, 414 and 501 are heuristically cacheable (RFC 9110 §15.1).
 */
export function problem(
  status: number,
  title: string,
  detail: string,
  { type = 'about:blank', ...members }: ProblemMembers = {},
): Problem {
  const content = Buffer.from(`${JSON.stringify({ type, title, status, detail, ...members })}\n`, 'utf8');
  return {
    status,
    fields: [
      'Content-Type',
      'application/problem+json',
      'Content-Length',
      String(content.length),
      'Cache-Control',
      'no-store',
    ],
    content,
  };
}
