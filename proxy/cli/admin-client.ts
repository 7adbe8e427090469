/** Asks the admin side of a running Weir, where the configuration puts it. */
import { Agent, request } from 'undici';
import type { AdminConfig } from '../../policies/config/config.ts';

export interface AdminQuestion {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Path and query. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: object;
  readonly timeoutMs: number;
}

export type AdminAnswer =
  | { readonly kind: 'ok'; readonly value: unknown }
  /** It answers, and says what is wrong; or there is no Weir, and what answers is something else. */
  | { readonly kind: 'refused'; readonly status: number; readonly detail: string }
  | { readonly kind: 'unreachable'; readonly detail: string };

export async function askAdmin(admin: AdminConfig, question: AdminQuestion): Promise<AdminAnswer> {
  const { method, path, body, timeoutMs } = question;
  const origin = originOf(admin);
  const agent = new Agent({ connect: { timeout: timeoutMs } });
  try {
    const response = await request(`${origin}${path}`, {
      method,
      dispatcher: agent,
      headers: {
        ...(admin.token === '' ? {} : { authorization: `Bearer ${admin.token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
    });
    return read(response.statusCode, await response.body.text(), origin);
  } catch (error) {
    return { kind: 'unreachable', detail: unreachable(origin, error) };
  } finally {
    await agent.close();
  }
}

function read(status: number, text: string, origin: string): AdminAnswer {
  const value = parsed(text);
  if (status === 200 && typeof value === 'object' && value !== null) return { kind: 'ok', value };
  if (status === 401) {
    return { kind: 'refused', status, detail: `the admin side at ${origin} takes another token` };
  }
  const detail = typeof value === 'object' && value !== null ? Reflect.get(value, 'detail') : undefined;
  if (typeof detail === 'string') return { kind: 'refused', status, detail };
  return { kind: 'refused', status, detail: `what answers at ${origin} is not Weir's admin side` };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function unreachable(origin: string, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'ECONNREFUSED') return `nothing listens at ${origin}, the admin side: is weir serve running?`;
  const reason = error instanceof Error && error.message !== '' ? error.message : code;
  return `the admin side at ${origin} can't be asked: ${reason}`;
}

/** As it is reached from this machine. */
function originOf({ host, port }: AdminConfig): string {
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${reached.includes(':') ? `[${reached}]` : reached}:${port}`;
}
