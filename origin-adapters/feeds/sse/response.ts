import type { Dispatcher } from 'undici';
import type { FeedFailure } from '../feed.ts';

/** The reason why a response is not a readable event stream; null: it is one. */
export function refusalOf(response: Dispatcher.ResponseData): FeedFailure | null {
  const status = response.statusCode;
  const contentType = String(response.headers['content-type'] ?? '');
  if (status === 200 && response.headers['content-encoding'] !== undefined) {
    return failureOf('protocol', 'slowly', 'the event stream is compressed, which was not requested');
  }
  if (status === 200 && /^text\/event-stream\s*(;|$)/i.test(contentType)) return null;
  if (status === 200) {
    return failureOf(
      'protocol',
      'slowly',
      `expected text/event-stream, got ${contentType || 'no content type'}`,
    );
  }
  if (status === 401 || status === 403) {
    return failureOf('refused', 'slowly', `the origin responds with ${status}: set or correct authorization`);
  }
  if (status === 404 || status === 410 || status === 204) {
    return failureOf(
      'missing',
      'slowly',
      `the origin responds with ${status}: there is no event stream at this url`,
    );
  }
  if (status >= 500 || status === 429 || status === 408) {
    return failureOf('unreachable', 'soon', `the origin responds with ${status}`);
  }
  return failureOf('protocol', 'slowly', `the origin responds with ${status}`);
}

export function failureOf(
  kind: FeedFailure['kind'],
  retry: FeedFailure['retry'],
  message: string,
): FeedFailure {
  return { kind, retry, message, cause: null };
}
