import type { FeedFailure } from '../feed.ts';
import { isTlsFailure } from '../tls.ts';

/** An error that Weir itself detects. */
export class NatsFault extends Error {
  readonly kind: FeedFailure['kind'];
  readonly retry: FeedFailure['retry'];

  constructor(kind: FeedFailure['kind'], retry: FeedFailure['retry'], message: string) {
    super(message);
    this.kind = kind;
    this.retry = retry;
  }
}

/** The failure for any error of the client or the server. */
export function failureOf(error: unknown, stream: string): FeedFailure {
  const chain = causesOf(error);
  const known = chain.map((cause) => failureByName(cause, stream)).find((failure) => failure !== null);
  if (known !== undefined) return { ...known, cause: error };
  const message = chain.map(({ message }) => message).find((text) => text !== '') ?? 'no reason was given';
  return {
    kind: 'unreachable',
    retry: 'soon',
    message: `the server can't be reached: ${message}`,
    cause: error,
  };
}

type NatsFailure = Omit<FeedFailure, 'cause'>;

/** By the names of the client's error classes, so that the library need not be loaded. */
function failureByName(error: Error, stream: string): NatsFailure | null {
  if (error instanceof NatsFault) return { kind: error.kind, retry: error.retry, message: error.message };
  if (isTlsFailure(error)) return { kind: 'refused', retry: 'slowly', message: `TLS: ${error.message}` };
  switch (error.name) {
    case 'AuthorizationError':
    case 'UserAuthenticationExpiredError':
      return refused(`the server does not take the credentials: correct them (${error.message})`);
    case 'PermissionViolationError':
      return refused(`the user may not do what is needed: ${error.message}`);
    case 'StreamNotFoundError':
      return missing(`there is no stream ${stream}: create it, or correct stream and domain`);
    case 'JetStreamNotEnabled':
      return missing('JetStream is not enabled for this server or account');
    case 'InvalidArgumentError':
      return { kind: 'protocol', retry: 'slowly', message: error.message };
    case 'JetStreamApiError':
      return apiFailure(error);
    case 'JetStreamStatusError':
    case 'JetStreamError':
    case 'ConsumerNotFoundError':
      return { kind: 'unreachable', retry: 'soon', message: `reading was ended: ${error.message}` };
    case 'TimeoutError':
      return { kind: 'unreachable', retry: 'soon', message: 'the server does not answer' };
    default:
      return failureByMessage(error);
  }
}

/** Errors without a class name of their own. */
function failureByMessage({ message }: Error): NatsFailure | null {
  if (/^nkeys: |unable to parse credentials/.test(message)) {
    return refused(`the nkey or the credentials can't be read: correct them (${message})`);
  }
  if (message.startsWith('server does not support')) return { kind: 'protocol', retry: 'slowly', message };
  return null;
}

/**
 * 5xx is a condition of the server, such as a cluster without a leader; other codes concern the stream's
 * configuration.
 */
function apiFailure(error: Error): NatsFailure {
  const status = 'status' in error ? Number(error.status) : 0;
  const message = `the server answers: ${error.message}`;
  return status >= 500
    ? { kind: 'unreachable', retry: 'soon', message }
    : { kind: 'protocol', retry: 'slowly', message };
}

function refused(message: string): NatsFailure {
  return { kind: 'refused', retry: 'slowly', message };
}

function missing(message: string): NatsFailure {
  return { kind: 'missing', retry: 'slowly', message };
}

/** The error and its causes, outermost first. */
function causesOf(error: unknown): Error[] {
  const chain: Error[] = [];
  for (let cause = error; cause instanceof Error && chain.length < 5; cause = cause.cause) chain.push(cause);
  return chain;
}
