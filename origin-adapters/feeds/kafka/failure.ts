import type { FeedFailure } from '../feed.ts';

const refused = {
  kind: 'refused',
  retry: 'slowly',
  message: 'the broker refuses the credentials: correct sasl',
} as const;

/** Kafka's error names, with the failure and its cure. */
const meanings: Readonly<Record<string, Pick<FeedFailure, 'kind' | 'retry' | 'message'>>> = {
  SASL_AUTHENTICATION_FAILED: refused,
  UNSUPPORTED_SASL_MECHANISM: {
    kind: 'refused',
    retry: 'slowly',
    message: 'the broker does not know this mechanism: correct sasl.mechanism',
  },
  ILLEGAL_SASL_STATE: {
    kind: 'refused',
    retry: 'slowly',
    message: 'the broker takes no credentials on this port: leave sasl out, or correct brokers',
  },
  TOPIC_AUTHORIZATION_FAILED: {
    kind: 'refused',
    retry: 'slowly',
    message: 'not allowed to read the topic: grant Describe and Read',
  },
  CLUSTER_AUTHORIZATION_FAILED: {
    kind: 'refused',
    retry: 'slowly',
    message: 'not allowed to use the cluster',
  },
  UNKNOWN_TOPIC_ID: { kind: 'unreachable', retry: 'soon', message: 'the topic was recreated' },
  NOT_LEADER_OR_FOLLOWER: { kind: 'unreachable', retry: 'soon', message: 'a partition has a new leader' },
  FENCED_LEADER_EPOCH: { kind: 'unreachable', retry: 'soon', message: 'a partition has a new leader' },
  UNKNOWN_LEADER_EPOCH: { kind: 'unreachable', retry: 'soon', message: 'a partition has a new leader' },
  UNKNOWN_TOPIC_OR_PARTITION: { kind: 'missing', retry: 'slowly', message: 'a topic or partition is gone' },
  LEADER_NOT_AVAILABLE: { kind: 'unreachable', retry: 'soon', message: 'a partition has no leader' },
};

const unreadable: ReadonlySet<unknown> = new Set([
  'PLT_KFK_UNSUPPORTED_COMPRESSION',
  'PLT_KFK_OUT_OF_BOUNDS',
  'PLT_KFK_UNSUPPORTED_FORMAT',
]);

/** Thrown to end a call that can't continue. */
export class KafkaProblem extends Error {
  readonly failure: FeedFailure;

  constructor(kind: FeedFailure['kind'], retry: FeedFailure['retry'], message: string) {
    super(message);
    this.failure = failed(kind, retry, message);
  }
}

/** The failure for an error of the client. */
export function failureOf(error: unknown): FeedFailure {
  if (error instanceof KafkaProblem) return error.failure;
  const errors = flatten(error);
  const meaning = errors.map(({ apiId }) => meanings[String(apiId)]).find((found) => found !== undefined);
  if (meaning !== undefined) return { ...meaning, cause: error };
  if (errors.some(({ code }) => code === 'PLT_KFK_AUTHENTICATION')) return { ...refused, cause: error };
  const topic = errors.map(unknownTopic).find((name) => name !== null);
  if (topic !== undefined) return failed('missing', 'slowly', `there is no topic ${topic}`, error);
  if (errors.some((one) => unreadable.has(one['code']) || one instanceof RangeError)) {
    return failed('protocol', 'slowly', `a batch can't be read: ${messageOf(errors.at(-1))}`, error);
  }
  const tls = errors.find((one) => one['code'] === 'PLT_KFK_USER' || isCertificateProblem(one['code']));
  if (tls !== undefined) return failed('refused', 'slowly', messageOf(tls), error);
  const where = errors.map(connectionTo).find((broker) => broker !== null);
  const message = messageOf(errors.at(-1));
  return failed(
    'unreachable',
    'soon',
    where === undefined ? message : `can't reach ${where}: ${message}`,
    error,
  );
}

export function failed(
  kind: FeedFailure['kind'],
  retry: FeedFailure['retry'],
  message: string,
  cause: unknown = null,
): FeedFailure {
  return { kind, retry, message, cause };
}

/** Whether the error contains one of these Kafka error names. */
export function isKafkaError(error: unknown, ...names: readonly string[]): boolean {
  return flatten(error).some((one) => names.includes(String(one['apiId'])));
}

type AnyError = Error & Readonly<Record<string, unknown>>;

/** The error, its aggregated errors and their causes; the innermost last. */
function flatten(error: unknown): AnyError[] {
  if (!(error instanceof Error)) return [];
  const inner = error instanceof AggregateError ? error.errors : [];
  return [error as AnyError, ...[...inner, error.cause].flatMap(flatten)];
}

function unknownTopic(error: AnyError): string | null {
  return /^Unknown topic (\S+)\.$/.exec(error.message)?.[1] ?? null;
}

function connectionTo(error: AnyError): string | null {
  return /^Connection to (\S+) (?:failed|timed out)\.$/.exec(error.message)?.[1] ?? null;
}

function isCertificateProblem(code: unknown): boolean {
  return typeof code === 'string' && /CERT|TLS|SSL|UNABLE_TO_VERIFY/.test(code);
}

/** Plainer words for messages of the client. */
const inWords: Readonly<Record<string, string>> = {
  'Connection closed':
    'the broker closed the connection; if it does so again and again, correct tls and sasl',
  'Connection closed while waiting for ready.': 'the broker closed the connection: correct tls and sasl',
  'Request timed out': 'the broker does not answer',
};

function messageOf(error: AnyError | undefined): string {
  if (error === undefined || error.message === '') return 'the connection failed';
  return inWords[error.message] ?? error.message.split('\n', 1)[0]!;
}
