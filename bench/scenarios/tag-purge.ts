import { Client } from '../exchange.ts';
import { fill } from '../filling.ts';
import { randomNumbers } from '../paths.ts';
import type { Scenario } from '../scenario.ts';

const ENTRIES = 20_000;
const ENTRIES_LONG = 1_000_000;
const PREFIX = '/256/0/';
const READERS = 16;
/** The number of reads before the purge is sent, so that all readers are running by then. */
const BEFORE = 2_000;
/** The tag that every entry has. */
const TAG = 'bench';

/** Readers send `only-if-cached`: nothing is fetched again, so every fresh response is an old one. */
export const tagPurge: Scenario = {
  name: 'tag-purge',
  shows: 'How long the purge of a tag that every entry bears takes, and how long anything of it stays fresh.',
  async run(stage, { entries, long, seed, seconds }) {
    const stored = entries ?? (long ? ENTRIES_LONG : ENTRIES);
    const origin = await stage.origin();
    const weir = await stage.weir({
      originPort: origin.port,
      workers: 2,
      memory: '64MiB',
      disk: '20GiB',
      cache: '{ client-directives: honor }',
    });
    await fill(weir, await stage.load(), PREFIX, stored);
    const client = new Client();
    const random = randomNumbers(seed);
    const answers: { readonly isFresh: boolean; readonly startedAt: number }[] = [];
    let untilMs = Number.POSITIVE_INFINITY;
    const read = async (): Promise<void> => {
      while (performance.now() < untilMs) {
        const { status, startedAt } = await client.ask(
          `${weir.url}${PREFIX}${Math.floor(random() * stored)}`,
          {
            headers: { 'Cache-Control': 'only-if-cached' },
          },
        );
        if (status !== 200 && status !== 504) throw new Error(`a reader was answered with ${status}`);
        answers.push({ isFresh: status === 200, startedAt });
        if (answers.length === BEFORE) begun.resolve();
      }
    };
    const begun = Promise.withResolvers<void>();
    const readers = Promise.all(Array.from({ length: READERS }, read));
    await Promise.race([begun.promise, readers]);
    const purge = await client.purge(weir.adminUrl, TAG);
    untilMs = purge.endedAt + seconds * 1000;
    await readers;
    client.close();
    const fresh = answers.filter(({ isFresh }) => isFresh);
    const last = Math.max(...fresh.map(({ startedAt }) => startedAt));
    const after = answers.filter(({ startedAt }) => startedAt >= purge.endedAt);
    return {
      rows: [],
      figures: [
        figure('entries that bear the tag', stored, '', null),
        figure('until the purge was answered', purge.endedAt - purge.startedAt, 'ms', null),
        figure(
          'until the last request began that had a fresh answer',
          Math.max(0, last - purge.startedAt),
          'ms',
          null,
        ),
        figure('requests begun after the answer', after.length, '', null),
        figure('fresh answers to them', after.filter(({ isFresh }) => isFresh).length, '', 0),
      ],
    };
  },
};

function figure(name: string, value: number, unit: string, aimAtMost: number | null) {
  return { name, value, unit, spread: null, aimAtMost };
}
