import { describe, expect, it } from 'vitest';
import type { Fields } from '../../policies/http/fields.ts';
import type { SharedFields } from '../../policies/http/shared-fields.ts';
import type { CacheStatus } from '../../policies/http/cache-status.ts';
import { Tiers } from '../../proxy/store/tiers.ts';
import { createMemoryTier } from '../../proxy/store/memory.ts';
import { StoredEntry } from '../../proxy/store/entry.ts';
import { respondWithEntry } from '../../proxy/request/entry-response.ts';
import type { KeyedContext } from '../../proxy/request/context.ts';
import { HitFields } from '../../proxy/request/hit-fields.ts';
import { entry } from '../store/disk/support/entries.ts';
import { get, NOW_MS, PLAIN_POLICY, stored } from '../rfc9111/given.ts';

const LEVELS = new Tiers(createMemoryTier(0, 1), null, () => PLAIN_POLICY);

interface Ask {
  readonly status?: Partial<CacheStatus>;
  readonly ownFields?: Fields;
  readonly fields?: Fields;
  readonly showsKey?: boolean;
}

/** An entry with a lifetime of a minute and an entity tag. `more`: further fields that clients are sent. */
function hits(id = 1, more: Fields = []) {
  const meta = { ...stored(['Cache-Control', 'max-age=60']), etag: '"a"' };
  const fields = ['Content-Type', 'text/plain', 'ETag', '"a"', ...more];
  const kept = new StoredEntry(entry(id, { meta, key: `shop\n\n/${id}` }), Buffer.from('a'), fields);
  /** What each hit was sent, in the two parts that the listener renders. */
  const sent: { readonly status: number; readonly shared: SharedFields; readonly own: SharedFields }[] = [];
  const request = (afterSeconds: number, ask: Ask = {}): Fields => {
    const exchange = {
      method: 'GET',
      respondShared: (status: number, shared: SharedFields, own: SharedFields) =>
        sent.push({ status, shared, own }),
    };
    const route = { config: { cache: PLAIN_POLICY } };
    const configuration = { config: { cacheStatus: { key: ask.showsKey === true } } };
    const asked = get(...(ask.fields ?? []));
    const context = { exchange, route, configuration, request: asked, key: kept.head.key, position: null };
    respondWithEntry(context as unknown as KeyedContext, LEVELS, {
      entry: kept,
      body: null,
      status: { hit: true, ttlSeconds: 60 - afterSeconds, ...ask.status },
      ownFields: ask.ownFields ?? [],
      lifetimeSeconds: 60,
      isStale: false,
      nowMs: NOW_MS + afterSeconds * 1000,
    });
    return [...sent.at(-1)!.shared.fields, ...sent.at(-1)!.own.fields];
  };
  return { request, sent, kept };
}

describe('the fields of hits', () => {
  it('state the age and the remaining lifetime in seconds, which add up to the whole lifetime', () => {
    const { request } = hits();
    const fields = (age: number, ttl: number) => [
      'Content-Type',
      'text/plain',
      'ETag',
      '"a"',
      'Age',
      String(age),
      'Cache-Status',
      `weir; hit; ttl=${ttl}`,
    ];
    expect(request(0)).toEqual(fields(0, 60));
    expect(request(0.2)).toEqual(fields(0, 60));
    expect(request(1)).toEqual(fields(1, 59));
    expect(request(1.5)).toEqual(fields(1, 59));
    expect(request(30)).toEqual(fields(30, 30));
    expect(request(1)).toEqual(fields(1, 59));
  });

  it('are rendered once for each entry, and Age and Cache-Status once for all entries', () => {
    const first = hits();
    const second = hits(2);
    for (const afterSeconds of [1.2, 1.9, 2.1]) first.request(afterSeconds);
    second.request(1.5);
    const [one, same, later] = first.sent;
    expect(one!.shared).toBe(first.kept.shared);
    expect(one!.own).toBe(same!.own);
    expect(same!.own).not.toBe(later!.own);
    expect(second.sent[0]!.own).toBe(one!.own);
    expect(second.sent[0]!.shared).not.toBe(one!.shared);
  });

  it('have the key of their own entry where the key is shown', () => {
    const key = (id: number) => hits(id).request(1, { showsKey: true }).at(-1);
    expect(key(1)).toBe('weir; hit; ttl=59; key="shop  /1"');
    expect(key(2)).toBe('weir; hit; ttl=59; key="shop  /2"');
  });

  it('leave out the fields that were for another client alone', () => {
    const { request } = hits();
    const plain = request(1);
    expect(request(1, { status: { detail: 'max-stale' } }).at(-1)).toContain('detail=max-stale');
    expect(request(1, { ownFields: ['Set-Cookie', 'a=1'] })).toContain('Set-Cookie');
    expect(request(1)).toEqual(plain);
  });

  it('of a 304 are rendered once unless they are large', () => {
    const fields = ['If-None-Match', '"a"'];
    const { request, sent } = hits();
    expect(request(1, { fields })).toEqual(['ETag', '"a"', 'Age', '1', 'Cache-Status', 'weir; hit; ttl=59']);
    request(1, { fields });
    expect(sent.map(({ status }) => status)).toEqual([304, 304]);
    expect(sent[0]!.shared).toBe(sent[1]!.shared);

    const tagged = hits(1, ['Surrogate-Key', 'tag '.repeat(100)]);
    for (const afterSeconds of [1, 2]) tagged.request(afterSeconds, { fields });
    const [before, after] = tagged.sent;
    expect(before!.shared).not.toBe(after!.shared);
    expect(before!.shared.fields).toEqual(after!.shared.fields);
  });
});

describe('HitFields', () => {
  it('tells pairs apart that have the same slot', () => {
    const fields = new HitFields();
    for (let ageSeconds = 0; ageSeconds < 3_000; ageSeconds += 7) {
      for (const ttlSeconds of [1, 60, 86_400, 2 ** 40]) {
        expect(fields.of(ageSeconds, ttlSeconds).fields).toEqual([
          'Age',
          String(ageSeconds),
          'Cache-Status',
          `weir; hit; ttl=${ttlSeconds}`,
        ]);
      }
    }
  });
});
