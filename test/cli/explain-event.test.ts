import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readArguments } from '../../proxy/cli/arguments.ts';
import { explainEvent } from '../../proxy/cli/event-explanation.ts';
import { FEED_TYPES } from '../../origin-adapters/feeds/registry.ts';
import { configOf } from '../config/load.ts';
import { newPlace, type Place } from './support.ts';

const CONFIG = `
origins: { shop: { url: "http://127.0.0.1:1" } }
feeds:
  changes:
    type: sse
    url: http://127.0.0.1:1/changes
    map:
      - when: { table: products }
        invalidate: { tags: ["product:{id}", products], urls: ["/products/{id}"], prefixes: [/search/*] }
routes: [{ name: all, match: /* }]
`;

function explained(message: unknown) {
  const config = configOf(CONFIG, { feedTypes: FEED_TYPES });
  return explainEvent(config, config.feeds['changes']!, Buffer.from(JSON.stringify(message)), []);
}

describe('the explanation of a message', () => {
  it('names what its changes invalidate, by the tags that entries have', async () => {
    expect(await explained({ table: 'products', before: { id: 1 }, after: { id: 2 } })).toMatchObject({
      verdict: { kind: 'named' },
      tags: [
        'tag:product:1',
        'tag:product:2',
        'tag:products',
        'url:/products/1',
        'url:/products/2',
        'prefix:/search',
      ],
    });
  });

  it('shows that a change that no entry of the map matches invalidates nothing', async () => {
    expect(await explained({ table: 'orders', id: 1 })).toMatchObject({
      verdict: { kind: 'nothing' },
      changes: [{ unmapped: true }],
      tags: [],
    });
  });

  it('shows why everything that the feed may change is invalidated', async () => {
    expect(await explained({ table: 'products' })).toMatchObject({
      verdict: { kind: 'scope', reason: 'a change has no value for id' },
    });
    expect((await explained('text')).verdict.kind).toBe('scope');
  });
});

describe('weir explain --event', () => {
  let place: Place;

  beforeAll(async () => {
    place = await newPlace();
    await place.write('proxy.config.yaml', CONFIG);
    await place.write('event.json', '{"table":"products","id":7}');
    await place.write('other.json', '{"table":"orders","id":7}');
  });
  afterAll(() => place.remove());

  it('explains the message in a file, and shows by its exit code whether all changes are mapped', async () => {
    const [mapped, unmapped, missing] = await Promise.all([
      place.weir(['explain', '--event', 'event.json', '--json']),
      place.weir(['explain', '--event', 'other.json']),
      place.weir(['explain', '--event', 'none.json']),
    ]);
    expect(mapped.code).toBe(0);
    expect(JSON.parse(mapped.out)).toMatchObject({ feed: 'changes', changes: [{ urls: ['/products/7'] }] });
    expect([unmapped.code, unmapped.out]).toEqual([
      1,
      expect.stringContaining('no entry of the map matches it'),
    ]);
    expect([missing.code, missing.err]).toEqual([1, expect.stringContaining('ENOENT')]);
  });

  it('rejects a request and a message at once', () => {
    expect(readArguments(['explain', 'GET', '/', '--event', 'f'])).toMatchObject({ kind: 'wrong' });
    expect(readArguments(['explain', '--feed', 'f'])).toMatchObject({ kind: 'wrong' });
  });
});
