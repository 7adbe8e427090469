import { describe, expect, it } from 'vitest';
import type { StoredMeta } from '../../policies/model.ts';
import type { DiskTier } from '../../proxy/store/disk-tier.ts';
import type { EntryHead } from '../../proxy/store/entry-head.ts';
import { Tiers } from '../../proxy/store/tiers.ts';
import { createMemoryTier } from '../../proxy/store/memory.ts';
import { StoredEntry } from '../../proxy/store/entry.ts';
import { PeerLookups, type PeerLookupMessage } from '../../proxy/fetch/peers/lookups.ts';
import { content, entry, META } from './disk/support/entries.ts';

const KEY = 'shop /things/1';
const REQUEST = { method: 'GET', fields: [] } as const;
const asked = (requestTimeMs: number, meta: Partial<StoredMeta> = {}) => ({
  key: KEY,
  meta: { ...META, requestTimeMs, ...meta },
});

/** The tiers of a worker whose disk, shared with other workers, has these entries. */
function tiersOver(...heads: EntryHead[]): Tiers {
  const headsOf = (key: string): EntryHead[] => heads.filter((head) => head.key === key);
  const disk: Pick<DiskTier, 'find' | 'heads' | 'underWay' | 'read' | 'touch'> = {
    find: (key) => headsOf(key).map((head) => ({ head, content: null })),
    heads: headsOf,
    underWay: () => [],
    read: (_id, position) => content(1, 10).subarray(position),
    touch: () => {},
  };
  return new Tiers(createMemoryTier(2 ** 20, 0.5), disk as DiskTier, () => null);
}

function inMemory(tiers: Tiers, head: EntryHead): StoredEntry {
  const stored = new StoredEntry(head, content(1, head.sizeBytes), []);
  tiers.keep(stored, 8);
  return stored;
}

describe('an entry in memory that another worker has replaced', () => {
  it.each([
    ['was fetched later', entry(2, asked(2_000)), true],
    ['was fetched earlier', entry(2, asked(500)), false],
    ['has a higher floor', entry(2, { ...asked(500), floor: 6 }), true],
    ['has a lower floor', entry(2, { ...asked(2_000), floor: 4 }), false],
    ['is of another route', entry(2, { ...asked(2_000), route: 'others' }), false],
    ['is another variant', entry(2, asked(2_000, { vary: ['accept-language'], varyValues: ['de'] })), false],
  ])('gives way to an entry on disk only if that is later: it %s', (_, onDisk, isLater) => {
    const tiers = tiersOver(onDisk);
    const own = inMemory(tiers, entry(1, asked(1_000)));
    expect(tiers.findLater(own, REQUEST)?.head.id ?? null).toBe(isLater ? onDisk.id : null);
    expect(tiers.find(KEY, REQUEST, 'things').entry?.head.id).toBe(isLater ? onDisk.id : own.head.id);
  });

  it('is still served where the later entry on disk was dropped', () => {
    const later = entry(2, asked(2_000));
    const tiers = tiersOver(later);
    const own = inMemory(tiers, entry(1, asked(1_000)));
    void tiers.dropHere(later);
    expect(tiers.findLater(own, REQUEST)).toBeNull();
  });

  it.each([
    ['later', 2_000, true],
    ['earlier', 500, false],
  ])(
    'gives way to an entry from a peer lookup only if that is later: it was fetched %s',
    (_, requestTimeMs, isLater) => {
      const tiers = tiersOver();
      const own = inMemory(tiers, entry(1, asked(1_000)));
      const peerEntry = entry(2, asked(requestTimeMs));
      let sent: PeerLookupMessage | null = null;
      const lookups = new PeerLookups(tiers, (message) => {
        sent = message;
      });
      let taken: StoredEntry | null = null;
      lookups.ask({ key: KEY, request: REQUEST, route: 'things', maxVariants: 8 }, (found) => {
        taken = found;
      });
      expect(sent).toMatchObject({ kind: 'ask', id: 1 });
      lookups.receive({ kind: 'found', id: 1, head: peerEntry, content: new Uint8Array(content(1, 10)) });
      expect(taken).toMatchObject({ head: { id: isLater ? peerEntry.id : own.head.id } });
    },
  );
});
