import { describe, expect, it } from 'vitest';
import type { Fields } from '../../policies/http/fields.ts';
import type { LearntResponse } from '../../policies/rfc9111/learning.ts';
import { decideStoring } from '../../policies/rfc9111/storing.ts';
import type { DiskTier } from '../../proxy/store/disk-tier.ts';
import { StoredEntry } from '../../proxy/store/entry.ts';
import { Learner, type LearnerDependencies, type Lesson } from '../../proxy/store/learner.ts';
import { createMemoryTier } from '../../proxy/store/memory.ts';
import { Tiers } from '../../proxy/store/tiers.ts';
import { get, PLAIN_POLICY } from '../rfc9111/given.ts';
import { MIB, entry, META } from './disk/support/entries.ts';

const { key, route } = entry(1);
const LATER_MS = META.requestTimeMs + 1_000;

/** The origin's answer to an unconditional request. The answer may not be stored. */
function answerTo(method: string, status: number, fields: Fields): LearntResponse {
  const received = {
    request: get(),
    status,
    fields: [...fields, 'Cache-Control', 'no-store'],
    requestTimeMs: LATER_MS,
    responseTimeMs: LATER_MS,
    policy: PLAIN_POLICY,
    authority: 'shop.example',
  };
  return {
    ...received,
    asked: { method, conditions: 'none', isInQuestion: true },
    floor: 9,
    storing: decideStoring(received),
    isKept: false,
  };
}

/** A learner over one entry in memory. `writes`: whether the disk accepts changes. */
function learnerOver(writes: boolean) {
  const fenced: string[] = [];
  const disk = {
    heads: () => [],
    underWay: () => [],
    remove: async () => writes,
    updateSynced: async () => writes,
  } as unknown as DiskTier;
  const tiers = new Tiers(createMemoryTier(MIB, 1), disk, () => null);
  tiers.keep(new StoredEntry(entry(1), Buffer.alloc(10), []), 8);
  const learner = new Learner({
    tiers,
    routeNamed: () => null,
    shareLesson: async () => {},
    outdateCopies: async (head: { id: string }, urlTag: string) => fenced.push(`${head.id} ${urlTag}`),
  } as unknown as LearnerDependencies);
  return { learner, fenced, tiers };
}

function lesson(answer: LearntResponse): Lesson {
  return { key, route, answer, urlTag: 'url', entryId: null };
}

describe('an entry that an answer has outdated', () => {
  it.each([
    ['is removed', answerTo('GET', 404, [])],
    ['is marked stale', answerTo('HEAD', 200, ['ETag', '"2"', 'Content-Length', '10'])],
  ])('%s, and is fenced where the disk rejects the change', async (_, answer) => {
    for (const writes of [true, false]) {
      const { learner, fenced, tiers } = learnerOver(writes);
      expect(learner.decide(lesson(answer))).toHaveLength(1);
      await learner.learn(lesson(answer));
      expect(fenced).toEqual(writes ? [] : [`${entry(1).id} url`]);
      const [left] = tiers.memory.get(key);
      expect(left === undefined || left.meta.lifetimeSeconds < META.lifetimeSeconds).toBe(true);
    }
  });
});
