/**
 * Problem documents (RFC 9457): what Weir says in its own name when it refuses or fails a request.
 */
import type { Fields } from '../../policies/http/fields.ts';
import { VIA } from '../../policies/http/forwarding.ts';
import { errorOfRefusal, proxyStatus } from '../../policies/http/proxy-status.ts';

export interface Problem {
  readonly status: number;
  /** Content-Type, Content-Length and Cache-Control; whoever sends it may add to them. */
  readonly fields: Fields;
  readonly content: Uint8Array;
}

/** More of it (RFC 9457 §3.2). */
export interface ProblemMembers {
  readonly type?: string;
  readonly errors?: readonly string[];
}

/**
 * `title` names the kind of problem and is the same each time, `detail` speaks of this occurrence and holds no secrets
 * (RFC 9457 §3.1). Not to be stored: 404, 405, 414 and 501 would be heuristically cacheable (RFC 9110 §15.1).
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

/** What the listener refuses by itself: nothing was looked up, and nobody asked. */
export function refusal(status: number, title: string, detail: string): Problem {
  const { fields, content } = problem(status, title, detail);
  const error = proxyStatus({ error: errorOfRefusal(status) });
  return { status, fields: [...fields, 'Proxy-Status', error, 'Via', VIA], content };
}
