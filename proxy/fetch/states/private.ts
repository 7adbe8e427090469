import type { FetchContext } from '../fetch-context.ts';
import type { FetchState, NextFetchState } from '../machine.ts';

/** Delivers to one client only, after every worker has applied the response to its stored entries. */
export function passPrivately(
  fetch: FetchContext,
  { status, fields, reason, lesson }: FetchState & { readonly at: 'private' },
): NextFetchState<'private'> {
  const { learner } = fetch.deps;
  const content = fetch.newContent(null);
  const deliver: FetchState & { readonly at: 'deliver' } = {
    at: 'deliver',
    result: { kind: 'pass', status, fields, body: content.body, reason },
    content,
  };
  if (!learner.concerns(lesson, fetch.request.hasStored)) return deliver;
  return { at: 'publish', until: learner.learn(lesson).then(() => deliver), content };
}
