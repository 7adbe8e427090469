import { describe, expect, it } from 'vitest';
import type { Change } from '../../policies/change.ts';
import { changesOf } from '../contracts/feed-contract.ts';
import type { FeedReader } from '../contracts/feed-reader.ts';
import { PostgresScene, postgresSkip } from './postgres-scene.ts';

const scene = PostgresScene.forThisFile();

/** The changes of these statements, each of which is a transaction unless it says BEGIN. */
async function rowChanges(statements: readonly string[]): Promise<(readonly Change[])[]> {
  return toldBy(await scene.attach(), statements);
}

async function toldBy(reader: FeedReader, statements: readonly string[]): Promise<(readonly Change[])[]> {
  const before = reader.events.length;
  await scene.run(...statements, 'INSERT INTO marks DEFAULT VALUES');
  const isMark = (change: Change): boolean => change.message[0]!['table'] === 'marks';
  const transactions = (): (readonly Change[])[] =>
    changesOf(reader.events.slice(before)).map((event) => event.changes);
  await reader.until(() => transactions().some((changes) => changes.some(isMark)));
  return transactions().filter((changes) => changes.length > 0 && !changes.some(isMark));
}

async function begin(...tables: readonly string[]): Promise<void> {
  await scene.begin('CREATE TABLE marks (at timestamptz DEFAULT now())', ...tables);
}

const products = 'CREATE TABLE products (id int PRIMARY KEY, grp text, price int)';

describe.skipIf(postgresSkip !== null)('rows from Postgres', () => {
  it('name their schema, table and operation', async () => {
    await begin('CREATE SCHEMA shop', 'CREATE TABLE shop.products (id int PRIMARY KEY)');
    expect(await rowChanges(['INSERT INTO shop.products VALUES (1)'])).toEqual([
      [
        {
          message: [{ schema: 'shop', table: 'products', op: 'insert' }],
          before: null,
          after: { id: 1 },
          known: 'all',
        },
      ],
    ]);
  });

  it('have the key of the old row, changed or not, with REPLICA IDENTITY DEFAULT', async () => {
    await begin(products, "INSERT INTO products VALUES (1, 'a', 10)");
    const transactions = await rowChanges([
      "UPDATE products SET grp = 'b'",
      'UPDATE products SET id = 2',
      'DELETE FROM products',
    ]);
    expect(transactions.flat()).toMatchObject([
      { before: { id: 1 }, after: { id: 1, grp: 'b', price: 10 }, known: 'key-of-before' },
      { before: { id: 1 }, after: { id: 2, grp: 'b', price: 10 }, known: 'key-of-before' },
      { before: { id: 2 }, after: null, known: 'key-of-before' },
    ]);
    for (const { before } of transactions.flat()) expect(Object.keys(before!)).toEqual(['id']);
  });

  it('have the whole old row with REPLICA IDENTITY FULL', async () => {
    await begin(
      products,
      "INSERT INTO products VALUES (1, 'a', NULL)",
      'ALTER TABLE products REPLICA IDENTITY FULL',
    );
    expect(
      (await rowChanges(["UPDATE products SET grp = 'b'", 'DELETE FROM products'])).flat(),
    ).toMatchObject([
      { before: { id: 1, grp: 'a', price: null }, after: { id: 1, grp: 'b', price: null }, known: 'all' },
      { before: { id: 1, grp: 'b', price: null }, after: null, known: 'all' },
    ]);
  });

  it('have the index of the old row with REPLICA IDENTITY USING INDEX', async () => {
    await begin(
      'CREATE TABLE products (id int PRIMARY KEY, sku text NOT NULL)',
      'CREATE UNIQUE INDEX by_sku ON products (sku)',
      'ALTER TABLE products REPLICA IDENTITY USING INDEX by_sku',
      "INSERT INTO products VALUES (1, 'a')",
    );
    expect((await rowChanges(["UPDATE products SET sku = 'b'"])).flat()).toMatchObject([
      { before: { sku: 'a' }, after: { id: 1, sku: 'b' }, known: 'key-of-before' },
    ]);
  });

  it('leave out an unchanged TOAST value, or have it from the old row where that is known', async () => {
    const text = "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) i)";
    await begin(
      'CREATE TABLE pages (id int PRIMARY KEY, title text, body text)',
      'ALTER TABLE pages ALTER body SET STORAGE EXTERNAL',
      `INSERT INTO pages VALUES (1, 'a', ${text})`,
    );
    const reader = await scene.attach();
    const [[partly] = []] = await toldBy(reader, ["UPDATE pages SET title = 'b'"]);
    expect(partly!.after).toEqual({ id: 1, title: 'b' });
    await scene.run('ALTER TABLE pages REPLICA IDENTITY FULL');
    const [[full] = []] = await toldBy(reader, ["UPDATE pages SET title = 'c'"]);
    expect(full!.after!['body']).toHaveLength(9_600);
    expect(full!.before!['body']).toEqual(full!.after!['body']);
  });

  it('are not part of TRUNCATE, which names its tables', async () => {
    await begin(products, 'CREATE TABLE parts (id int PRIMARY KEY)', 'INSERT INTO parts VALUES (1)');
    expect(await rowChanges(['TRUNCATE products, parts'])).toEqual([
      ['products', 'parts'].map((table) => ({
        message: [{ schema: 'public', table, op: 'truncate' }],
        before: null,
        after: null,
        known: 'no-row',
      })),
    ]);
  });

  it('of one commit come together, and those of a rollback are not sent', async () => {
    await begin(products);
    const transactions = await rowChanges([
      'BEGIN',
      'INSERT INTO products (id) VALUES (1)',
      'SAVEPOINT here',
      'INSERT INTO products (id) VALUES (2)',
      'ROLLBACK TO here',
      'INSERT INTO products (id) VALUES (3)',
      'COMMIT',
      'BEGIN',
      'INSERT INTO products (id) VALUES (4)',
      'ROLLBACK',
    ]);
    expect(transactions.map((changes) => changes.map((change) => change.after!['id']))).toEqual([[1, 3]]);
  });

  it('follow the columns of a table that is altered', async () => {
    await begin(products);
    const reader = await scene.attach();
    const one = await toldBy(reader, ["INSERT INTO products VALUES (1, 'a', 1)"]);
    await scene.run("ALTER TABLE products DROP grp, ADD color text DEFAULT 'red'");
    const two = await toldBy(reader, ['UPDATE products SET price = 2']);
    expect([...one, ...two].map((changes) => changes[0]!.after)).toEqual([
      { id: 1, grp: 'a', price: 1 },
      { id: 1, price: 2, color: 'red' },
    ]);
  });

  it('have values in their JSON form, and as Postgres writes them where JSON has none', async () => {
    await begin(`CREATE TABLE products (
      id bigint PRIMARY KEY, small smallint, yes boolean, price numeric, at timestamptz, data jsonb,
      tags text[], grid int[], "__proto__" text)`);
    const [[change] = []] = await rowChanges([
      `INSERT INTO products VALUES (9007199254740993, -3, true, 1.50, '2026-11-20 12:00:00+00',
        '{"a": {"b": 12345678901234567890}}', '{x,"a,\\"b\\"",NULL,"NULL"}', '{{1,2},{3,4}}', 'p')`,
    ]);
    expect(Object.entries(change!.after!)).toEqual([
      ['id', '9007199254740993'],
      ['small', -3],
      ['yes', true],
      ['price', '1.50'],
      ['at', expect.stringContaining('2026-11-20') as string],
      ['data', { a: { b: '12345678901234567890' } }],
      ['tags', ['x', 'a,"b"', null, 'NULL']],
      [
        'grid',
        [
          [1, 2],
          [3, 4],
        ],
      ],
      ['__proto__', 'p'],
    ]);
  });

  it('come with the time of their commit', async () => {
    await begin(products);
    const reader = await scene.attach();
    const before = Date.now();
    await toldBy(reader, ['INSERT INTO products VALUES (1)']);
    const event = changesOf(reader.events).find((one) => one.changes.length > 0)!;
    expect(event.committedAtMs).toBeGreaterThanOrEqual(before - 1);
    expect(event.committedAtMs).toBeLessThanOrEqual(Date.now());
  });
});
