/** RFC 9111 §4.3.4: a 304 confirms an entry that was asked about, or gives its content to this request. */
import type { Fields } from '../../../policies/http/fields.ts';
import type { StoredMeta } from '../../../policies/model.ts';
import { adopt, decideConfirmation, freshen } from '../../../policies/rfc9111/validation.ts';
import { changesFields, namesNewTags, updatedHead, type EntryHead } from '../../store/entry-head.ts';
import { StoredEntry } from '../../store/entry.ts';
import { isSameVariant, type Tiers } from '../../store/tiers.ts';
import type { FetchContext } from '../fetch-context.ts';
import type { AskedEntries, FetchState, NextFetchState } from '../machine.ts';
import { setCookies } from '../response-head.ts';
import { deliverStored } from './storable.ts';

type Next = NextFetchState<'confirm'>;

export function confirm(
  fetch: FetchContext,
  { asked, fields }: FetchState & { readonly at: 'confirm' },
): Next {
  const confirmation = decideConfirmation(
    fields,
    asked.own.map(({ meta }) => meta),
    asked.others.map(({ meta }) => meta),
  );
  switch (confirmation.kind) {
    case 'own':
      return confirmOwn(fetch, asked, asked.own[confirmation.index]!, fields);
    case 'other':
      return adoptOther(fetch, asked, asked.others[confirmation.index]!, fields);
    case 'none':
      return { at: 'retry', asked };
    default:
      return confirmation satisfies never;
  }
}

function confirmOwn(fetch: FetchContext, asked: AskedEntries, entry: StoredEntry, fields: Fields): Next {
  const { tiers, learner } = fetch.deps;
  const decision = freshen(entry.meta, fetch.received(304, fields));
  if (decision.kind === 'not' && decision.reason !== 'request-no-store') {
    // The entry may not be kept: no worker may serve it once the request is sent again.
    const learnt = learner.learn(fetch.lesson(asked, 304, fields, decision, false));
    return { at: 'publish', until: learnt.then(() => ({ at: 'retry', asked })), content: null };
  }
  // A newer response may have outdated it meanwhile.
  if (tiers.isDropped(entry.head.id) || !hasContent(tiers, entry)) return { at: 'retry', asked };
  const meta = decision.kind === 'store' ? decision.meta : entry.meta;
  const confirmed = confirmedEntry(fetch, entry, meta, fields);
  if (decision.kind === 'not') return deliverConfirmed(confirmed, fields);
  // A client must not receive new tags or fields while a copy without them can still be served.
  const outdates =
    namesNewTags(entry.head, meta) || (asked.replacesServed && changesFields(entry.head, meta));
  const freshened = learner.freshen(confirmed.head, outdates, fetch.urlTag);
  if (outdates) {
    const until = freshened.then(({ head }) => {
      const latest = new StoredEntry(head, confirmed.content, tiers.sentFieldsOf(head));
      return deliverConfirmed(latest, fields);
    });
    return { at: 'publish', until, content: null };
  }
  return deliverConfirmed(confirmed, fields);
}

/** Stores the content of another variant as a new entry for this request. The other entry does not change. */
function adoptOther(fetch: FetchContext, asked: AskedEntries, other: StoredEntry, fields: Fields): Next {
  const content = other.content ?? fetch.deps.tiers.read(other.head);
  const decision = content === null ? null : adopt(other.meta, fetch.received(304, fields));
  const writer =
    decision?.kind === 'store' ? fetch.beginWriter(decision.meta, other.head.sizeBytes, fields, null) : null;
  if (writer === null) return { at: 'retry', asked };
  return deliverStored(fetch, asked, 304, fields, fetch.newContent(writer, content), writer);
}

function deliverConfirmed(entry: StoredEntry, fields: Fields): FetchState & { readonly at: 'deliver' } {
  const ownFields = setCookies(fields);
  return {
    at: 'deliver',
    result: { kind: 'entry', entry, body: null, originStatus: 304, collapsed: false, ownFields },
    content: null,
  };
}

/** The validated entry with its floor raised to that of this fetch. Tags are added, never removed. */
function confirmedEntry(
  { deps, snapshot, known }: FetchContext,
  entry: StoredEntry,
  meta: StoredMeta,
  fields: Fields,
): StoredEntry {
  const { tiers, mechanisms, fence } = deps;
  const { tags, tagHashes } = updatedHead(entry.head, meta, fence.hasher, known.tags);
  const target = mechanisms.entryIdInNotModified ? entry : standIn(tiers, entry);
  const head: EntryHead = {
    ...target.head,
    meta: target.head.id === entry.head.id ? meta : target.head.meta,
    tags,
    tagHashes,
    floor: Math.max(snapshot.floor, target.head.floor),
    possiblyStale: snapshot.isPossiblyStale(tagHashes, fields),
  };
  return new StoredEntry(head, target.content, tiers.sentFieldsOf(head));
}

function hasContent(tiers: Tiers, entry: StoredEntry): boolean {
  if (tiers.isReadable(entry)) return true;
  void tiers.discard(entry.head);
  return false;
}

/** The entry of the same variant that is in memory now; the given one if there is none. */
function standIn(tiers: Tiers, entry: StoredEntry): StoredEntry {
  return tiers.memory.get(entry.head.key).find((other) => isSameVariant(other.head, entry.head)) ?? entry;
}
