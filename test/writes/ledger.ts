import type { ScriptedOrigin, ScriptedRequest } from '../support/scripted-origin.ts';

/** The writes that an origin has applied: once for each Idempotency-Key, and in order for each URL. */
export interface Ledger {
  /** Applies a request; a request whose key was applied before changes nothing. */
  apply(request: ScriptedRequest): Promise<void>;
  /** The bodies (or the method, if there is no body) that were applied to a URL, in order. */
  applied(url: string): readonly string[];
  readonly keys: readonly string[];
}

export function newLedger(): Ledger {
  const byUrl = new Map<string, string[]>();
  const keys: string[] = [];
  return {
    async apply(request) {
      const body = (await request.received).toString();
      const key = String(request.headers['idempotency-key'] ?? '');
      if (key !== '' && keys.includes(key)) return;
      keys.push(key);
      const applied = byUrl.get(request.url) ?? [];
      byUrl.set(request.url, applied);
      applied.push(body === '' ? request.method : body);
    },
    applied: (url) => byUrl.get(url) ?? [],
    keys,
  };
}

/** An origin that applies every write and answers 204. */
export function appliesTo(origin: ScriptedOrigin, ledger: Ledger): void {
  for (const method of ['PUT', 'POST', 'DELETE', 'PATCH']) {
    origin.on(`${method} *`, async (request) => {
      await ledger.apply(request);
      return { status: 204 };
    });
  }
}
