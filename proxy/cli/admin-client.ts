/** Client of the admin API of a running Weir. */
import { Agent, request } from 'undici';
import type { AdminTarget } from './admin-target.ts';

export interface AdminQuestion {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Path and query. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: object;
  readonly timeoutMs: number;
  /** The members of Weir's response. Without this check, JSON from another program would count as success. */
  readonly answer: Members;
}

export type Members = Readonly<Record<string, 'string' | 'number' | 'boolean' | 'list'>>;

export type AdminAnswer =
  | { readonly kind: 'ok'; readonly value: unknown }
  /** The server refused the request, or the response is not from Weir. */
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly detail: string;
      /** All errors, for a request that can have several. */
      readonly errors: readonly string[];
      /** The response body if it is JSON, else null. */
      readonly value: unknown;
    }
  | { readonly kind: 'unreachable'; readonly detail: string };

export async function askAdmin(target: AdminTarget, question: AdminQuestion): Promise<AdminAnswer> {
  const { method, path, body, timeoutMs } = question;
  const { url, token } = target;
  const agent = new Agent({ connect: { timeout: timeoutMs } });
  try {
    const response = await request(`${url}${path}`, {
      method,
      dispatcher: agent,
      headers: {
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
    });
    return read(response.statusCode, await response.body.text(), target, question.answer);
  } catch (error) {
    return { kind: 'unreachable', detail: unreachable(url, error) };
  } finally {
    await agent.close();
  }
}

/** The members of a problem document (RFC 9457) that are read. */
interface Problem {
  readonly detail?: unknown;
  readonly errors?: unknown;
}

function read(status: number, text: string, { url, token }: AdminTarget, members: Members): AdminAnswer {
  const value = parsed(text);
  const isDone = status >= 200 && status < 300;
  if (isDone && holds(value, members)) return { kind: 'ok', value };
  if (status === 401) {
    const detail = token === '' ? 'requires a token: use --token or WEIR_ADMIN_TOKEN' : 'rejected the token';
    return { kind: 'refused', status, detail: `the admin side at ${url} ${detail}`, errors: [], value };
  }
  const { detail, errors } = (!isDone && typeof value === 'object' && value !== null ? value : {}) as Problem;
  if (typeof detail === 'string') {
    const each = Array.isArray(errors) ? errors.map(String) : [];
    return { kind: 'refused', status, detail, errors: each, value };
  }
  return {
    kind: 'refused',
    status,
    detail: `the server at ${url} is not Weir's admin side`,
    errors: [],
    value,
  };
}

function holds(value: unknown, members: Members): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const object = value as Readonly<Record<string, unknown>>;
  return Object.entries(members).every(([name, kind]) =>
    kind === 'list' ? Array.isArray(object[name]) : typeof object[name] === kind,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function unreachable(url: string, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'ECONNREFUSED') return `nothing listens at ${url}, the admin side: is weir serve running?`;
  const reason = error instanceof Error && error.message !== '' ? error.message : code;
  return `the admin side at ${url} can't be reached: ${reason}`;
}
