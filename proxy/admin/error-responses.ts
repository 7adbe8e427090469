/** The error responses of the admin side: one row for each code. */
import { filled, type ErrorValues } from '../http/error-responses.ts';
import { problem, type ProblemMembers } from '../http/problem.ts';
import { REASON_PHRASES } from '../http/reason-phrases.ts';

interface AdminErrorRow {
  readonly status: number;
  /** The text for the operator. `{name}` is replaced by a value of the occurrence. */
  readonly detail: string;
}

const ADMIN_ERRORS = {
  'bad-request': { status: 400, detail: '{problems}' },
  token: { status: 401, detail: 'This request needs "Authorization: Bearer" with the admin token.' },
  'foreign-page': { status: 403, detail: 'Without an admin token, a web page can change nothing here.' },
  'unknown-path': { status: 404, detail: 'The admin side has no {path}.' },
  'no-route': { status: 404, detail: 'No route takes GET {path}.' },
  'unknown-write': { status: 404, detail: 'There is no such write, or it is no longer kept.' },
  'method-not-allowed': { status: 405, detail: 'Allowed methods: {methods}.' },
  'wrong-state': { status: 409, detail: '{detail}' },
  embedded: { status: 409, detail: 'Only the program that embeds this Weir can do this.' },
  'too-large': { status: 413, detail: 'Expected at most {limit} bytes.' },
  'not-json': {
    status: 415,
    detail:
      'Expected "Content-Type: application/json". Without an admin token, no other content is accepted.',
  },
  'foreign-host': {
    status: 421,
    detail: 'Without an admin token, the Host of a request must be localhost, 127.0.0.1 or [::1].',
  },
  'reload-refused': {
    status: 422,
    detail: 'The configuration was not reloaded. The old one stays in force.',
  },
  internal: { status: 500, detail: 'Weir failed to answer. Its log has the reason.' },
  'not-durable': { status: 503, detail: '{detail}' },
} as const satisfies Record<string, AdminErrorRow>;

export type AdminErrorCode = keyof typeof ADMIN_ERRORS;

/** The parts that a response adds to its row of the table. */
export interface AdminErrorParts {
  readonly values?: ErrorValues;
  readonly headers?: Readonly<Record<string, string>>;
  readonly members?: ProblemMembers;
}

export function adminError(
  code: AdminErrorCode,
  { values = {}, headers: more = {}, members = {} }: AdminErrorParts = {},
): Response {
  const { status, detail }: AdminErrorRow = ADMIN_ERRORS[code];
  const { fields, content } = problem(status, REASON_PHRASES[status]!, filled(detail, values), members);
  const headers = new Headers(more);
  for (let i = 0; i + 1 < fields.length; i += 2) headers.set(fields[i]!, fields[i + 1]!);
  return new Response(Buffer.from(content), { status, headers });
}
