import type { FeedFailure } from '../feed.ts';
import { isTlsFailure } from '../tls.ts';

/** An error that Weir itself detects. */
export class RedisFault extends Error {
  readonly kind: FeedFailure['kind'];

  constructor(kind: FeedFailure['kind'], message: string) {
    super(message);
    this.kind = kind;
  }
}

/** The failure for any error of the client or the server. `stream`: its key. */
export function failureOf(error: unknown, stream: string): FeedFailure {
  const cause = error;
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof RedisFault) return { kind: error.kind, retry: 'slowly', message, cause };
  if (isTlsFailure(error)) return { kind: 'refused', retry: 'slowly', message: `TLS: ${message}`, cause };
  const reply = replies.find(({ pattern }) => pattern.test(message));
  if (reply === undefined)
    return { kind: 'unreachable', retry: 'soon', message: connectionMessage(error), cause };
  const { kind, retry, advice } = reply;
  return { kind, retry, message: advice === null ? message : `${advice(stream)} (${message})`, cause };
}

interface ReplyFailure {
  readonly pattern: RegExp;
  readonly kind: FeedFailure['kind'];
  readonly retry: FeedFailure['retry'];
  readonly advice: ((stream: string) => string) | null;
}

/** The failures by the first word of Redis' error replies. The first match counts. */
const replies: readonly ReplyFailure[] = [
  {
    pattern: /^ERR no such key/,
    kind: 'missing',
    retry: 'slowly',
    advice: (stream) => `there is no stream ${stream}: the first XADD creates it`,
  },
  {
    pattern: /^WRONGTYPE/,
    kind: 'missing',
    retry: 'slowly',
    advice: (stream) => `the key ${stream} is not a stream`,
  },
  {
    pattern: /^(WRONGPASS|NOAUTH|ERR AUTH|ERR invalid password)/i,
    kind: 'refused',
    retry: 'slowly',
    advice: () => 'the server does not take the credentials: correct username and password',
  },
  {
    pattern: /^NOPERM/,
    kind: 'refused',
    retry: 'slowly',
    advice: (stream) =>
      `the user may not do what is needed: +hello +multi +exec +xinfo +xrange +xread ~${stream}`,
  },
  { pattern: /^DENIED/, kind: 'refused', retry: 'slowly', advice: null },
  {
    pattern: /^ERR (DB index|invalid DB)/i,
    kind: 'missing',
    retry: 'slowly',
    advice: () => 'there is no database of that number',
  },
  {
    pattern: /^(MOVED|ASK) /,
    kind: 'protocol',
    retry: 'slowly',
    advice: (stream) => `the stream ${stream} is on another node of the cluster: give the url of that node`,
  },
  {
    pattern: /^(LOADING|BUSY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|UNBLOCKED|ERR max number)/,
    kind: 'unreachable',
    retry: 'soon',
    advice: null,
  },
  { pattern: /^(ERR|EXECABORT) /, kind: 'protocol', retry: 'slowly', advice: null },
];

/** Several failed addresses leave an error without a message. */
function connectionMessage(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return connectionMessage(error.errors[0]);
  const message = error instanceof Error ? error.message : String(error);
  return `the server can't be reached: ${message || 'no reason was given'}`;
}
