import type { FeedFailure } from '../feed.ts';

/** Kafka's names of errors, and what they mean to whoever has to act. */
const meanings: Readonly<Record<string, Pick<FeedFailure, 'kind' | 'retry' | 'message'>>> = {
  SASL_AUTHENTICATION_FAILED: {
    kind: 'refused',
    retry: 'slowly',
    message: 'the broker refuses the credentials: correct sasl',
  },
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
  LEADER_NOT_AVAILABLE: { kind: 'unreachable', retry: 'soon', message: 'a partition has no leader' },
};

const unreadable: ReadonlySet<unknown> = new Set([
  'PLT_KFK_UNSUPPORTED_COMPRESSION',
  'PLT_KFK_OUT_OF_BOUNDS',
  'PLT_KFK_UNSUPPORTED_FORMAT',
]);

/** What the client's error comes to. */
export function failureOf(error: unknown): FeedFailure {
  const errors = flatten(error);
  for (const one of errors) {
    const meaning = typeof one['apiId'] === 'string' ? meanings[one['apiId']] : undefined;
    if (meaning !== undefined) return { ...meaning, cause: error };
    if (one['code'] === 'PLT_KFK_AUTHENTICATION')
      return { ...meanings['SASL_AUTHENTICATION_FAILED']!, cause: error };
  }
  const topic = errors.map(unknownTopic).find((name) => name !== null);
  if (topic !== undefined) return failed('missing', 'slowly', `there is no topic ${topic}`, error);
  if (errors.some((one) => unreadable.has(one['code']) || one instanceof RangeError)) {
    return failed('protocol', 'slowly', `a batch can't be read: ${messageOf(errors.at(-1))}`, error);
  }
  const tls = errors.find((one) => one['code'] === 'PLT_KFK_USER' || isCertificateProblem(one['code']));
  if (tls !== undefined) return failed('refused', 'slowly', messageOf(tls), error);
  return failed('unreachable', 'soon', messageOf(errors.at(-1)), error);
}

export function failed(
  kind: FeedFailure['kind'],
  retry: FeedFailure['retry'],
  message: string,
  cause: unknown = null,
): FeedFailure {
  return { kind, retry, message, cause };
}

/** Whether an error of that Kafka name is among what went wrong. */
export function isKafkaError(error: unknown, ...names: readonly string[]): boolean {
  return flatten(error).some((one) => names.includes(String(one['apiId'])));
}

type AnyError = Error & Readonly<Record<string, unknown>>;

/** The error, those that it gathers, and their causes; the innermost last. */
function flatten(error: unknown): AnyError[] {
  if (!(error instanceof Error)) return [];
  const inner = error instanceof AggregateError ? error.errors : [];
  return [error as AnyError, ...[...inner, error.cause].flatMap(flatten)];
}

function unknownTopic(error: AnyError): string | null {
  if (error['apiId'] === 'UNKNOWN_TOPIC_OR_PARTITION') return '(see topics)';
  return /^Unknown topic (\S+)\.$/.exec(error.message)?.[1] ?? null;
}

function isCertificateProblem(code: unknown): boolean {
  return typeof code === 'string' && /CERT|TLS|SSL|SELF_SIGNED|ISSUER/.test(code);
}

function messageOf(error: AnyError | undefined): string {
  return error === undefined || error.message === ''
    ? 'the connection failed'
    : error.message.split('\n', 1)[0]!;
}
