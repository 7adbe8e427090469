import { isWeakEtag } from '../../../policies/http/etags.ts';
import { fieldValue, type Fields } from '../../../policies/http/fields.ts';
import type { StoredMeta } from '../../../policies/model.ts';
import { namesCodingOf } from '../../../policies/rfc9111/accept-encoding.ts';
import { completionFields } from '../../../policies/rfc9111/parts.ts';
import { decideReuse, isConfirmable } from '../../../policies/rfc9111/reuse.ts';
import { decideAskedAbout, validationFields } from '../../../policies/rfc9111/validation.ts';
import { answers } from '../../../policies/rfc9111/vary.ts';
import type { StoredEntry } from '../../store/entry.ts';
import { judge } from '../../store/verdict.ts';
import type { FetchContext } from '../fetch-context.ts';
import type { AskedEntries, NextFetchState } from '../machine.ts';

/** Finds stored entries that the origin may confirm or complete. */
export function start(fetch: FetchContext): NextFetchState<'start'> {
  return { at: 'head', asked: askedAbout(fetch) };
}

function askedAbout(fetch: FetchContext): AskedEntries {
  const { deps, request, route, counters } = fetch;
  if (request.asksPart || request.method === 'HEAD') return NOTHING;
  const stored = deps.tiers.all(request.key, route.config.name);
  const replacesServed = stored.some((entry) => isServed(fetch, entry));
  const confirmable = stored.filter((entry) => isConfirmableNow(fetch, entry));
  if (confirmable.length === 0) {
    const incomplete = completable(fetch, stored);
    const conditions = incomplete === null ? NO_FIELDS : (completionFields(incomplete.meta) ?? NO_FIELDS);
    return { own: [], others: [], incomplete, conditions, replacesServed };
  }
  const own = confirmable.filter(({ meta }) => answers(meta, request.request));
  // If-Modified-Since asks about one entry only.
  const asksByDate = own.length > 0 && own.every(({ meta }) => meta.etag === null);
  const others = asksByDate ? [] : confirmable.filter((entry) => isAdoptable(fetch, entry));
  const asked = decideAskedAbout(own, others, route.config.cache);
  counters.tagsLeftOut += asked.leftOut;
  const conditions = validationFields([...asked.own, ...asked.others].map(({ meta }) => meta));
  return { own: asked.own, others: asked.others, incomplete: null, conditions, replacesServed };
}

/** Whether the origin may confirm the entry; after an invalidation only by a strong validator. */
function isConfirmableNow({ deps, route }: FetchContext, entry: StoredEntry): boolean {
  const { verdict, trust } = judge(deps, entry, route);
  return entry.meta.part === null && isConfirmable(entry.meta, verdict, trust);
}

/** Whether the origin may select the content of this entry of another variant for the request. */
function isAdoptable({ deps, request }: FetchContext, { meta, head, content }: StoredEntry): boolean {
  const wanted = request.request;
  if (answers(meta, wanted) || meta.etag === null || isWeakEtag(meta.etag)) return false;
  if (!namesCodingOf(meta, fieldValue(wanted.fields, 'accept-encoding'))) return false;
  return content !== null || head.sizeBytes <= deps.windowBytes;
}

/** Whether the entry answers a request without directives, without validation. */
function isServed({ deps, route, request, snapshot }: FetchContext, entry: StoredEntry): boolean {
  const { meta } = entry;
  if (meta.part !== null || !answers(meta, request.request)) return false;
  const decision = decideReuse({
    meta,
    request: { method: 'GET', fields: [] },
    ...judge(deps, entry, route),
    policy: route.config.cache,
    nowMs: snapshot.requestTimeMs,
  });
  return decision.kind === 'serve';
}

/** A part of the variant that answers the request, with its content and a strong ETag. */
function completable(fetch: FetchContext, stored: readonly StoredEntry[]): StoredEntry | null {
  const { deps, request } = fetch;
  const wanted = request.request;
  const parts = deps.tiers.partsOf(stored);
  return parts.find(({ meta }) => answers(meta, wanted) && isCompletable(fetch, meta)) ?? null;
}

/** A tag that is too long to be sent counts as left out. */
function isCompletable({ route, counters }: FetchContext, meta: StoredMeta): boolean {
  if (completionFields(meta) === null) return false;
  const { own, leftOut } = decideAskedAbout([{ meta }], [], route.config.cache);
  counters.tagsLeftOut += leftOut;
  return own.length > 0;
}

const NO_FIELDS: Fields = [];
const NOTHING: AskedEntries = {
  own: [],
  others: [],
  incomplete: null,
  conditions: NO_FIELDS,
  replacesServed: false,
};
