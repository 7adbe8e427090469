import type { Fields } from '../../../policies/http/fields.ts';
import { StoredEntry } from '../../store/entry.ts';
import type { EntryHead } from '../../store/entry-head.ts';
import type { EntryWriter } from '../../store/entry-writer.ts';
import type { FetchContent } from '../fetch-content.ts';
import type { FetchContext } from '../fetch-context.ts';
import type { AskedEntries, FetchState, NextFetchState } from '../machine.ts';
import { isAsLongAsItSays, sizeOf, unstoredFields } from '../response-head.ts';

type Storable = FetchState & { readonly at: 'storable' };

/** Stores the response while it is received. A response that no tier accepts is private. */
export function storable(fetch: FetchContext, state: Storable): NextFetchState<'storable'> {
  const { asked, status, fields, meta } = state;
  const { learner } = fetch.deps;
  if (fetch.request.method === 'HEAD') return headAlone(fetch, state);
  const lesson = fetch.lesson(asked, status, fields, { kind: 'store', meta }, true);
  const displaces = learner.mayDisplace(lesson);
  const writer =
    displaces && isAsLongAsItSays(meta, fields)
      ? fetch.beginWriter(meta, sizeOf(meta, fields), fields, lesson)
      : null;
  if (writer !== null) return deliverStored(fetch, asked, status, fields, fetch.newContent(writer), writer);
  const reason = displaces ? 'too-large' : 'stale-kept';
  const unkept = { ...lesson, answer: { ...lesson.answer, isKept: false } };
  return { at: 'private', status, fields, reason, lesson: unkept };
}

/** If copies of the replaced entry are still served, every worker drops them before a waiter receives the new entry. */
export function deliverStored(
  fetch: FetchContext,
  { replacesServed }: AskedEntries,
  status: number,
  fields: Fields,
  content: FetchContent,
  writer: EntryWriter,
): FetchState & { readonly at: 'publish' | 'deliver' } {
  const deliver = (): FetchState & { readonly at: 'deliver' } => ({
    at: 'deliver',
    result: {
      kind: 'entry',
      entry: writer.entry,
      body: content.body,
      originStatus: status,
      collapsed: false,
      ownFields: unstoredFields(fields, writer.entry.meta.fields),
    },
    content,
  });
  if (!replacesServed) return deliver();
  const until = fetch.deps.outdateCopies(writer.entry.head, fetch.urlTag).then(({ floor }) => {
    writer.raiseFloor(floor);
    return deliver();
  });
  return { at: 'publish', until, content };
}

/** The response to a HEAD has no content to store. It is shared like the response to a GET. */
function headAlone(
  fetch: FetchContext,
  { asked, status, fields, meta }: Storable,
): FetchState & { readonly at: 'publish' | 'deliver' } {
  const { learner, tiers } = fetch.deps;
  const lesson = fetch.lesson(asked, status, fields, { kind: 'store', meta }, false);
  const deliver = (): FetchState & { readonly at: 'deliver' } => {
    const head: EntryHead = { ...fetch.entryHead(meta, -1, fields), id: '' };
    return {
      at: 'deliver',
      result: {
        kind: 'entry',
        entry: new StoredEntry(head, null, tiers.sentFieldsOf(head)),
        body: null,
        originStatus: status,
        collapsed: false,
        ownFields: unstoredFields(fields, meta.fields),
      },
      content: null,
    };
  };
  if (!learner.concerns(lesson, fetch.request.hasStored)) return deliver();
  return { at: 'publish', until: learner.learn(lesson).then(deliver), content: null };
}
