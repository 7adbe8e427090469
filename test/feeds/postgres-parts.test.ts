import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import type { Client } from 'pg';
import { describe, expect, it } from 'vitest';
import { parseAddress } from '../../origin-adapters/feeds/postgres/address.ts';
import { ByteReader, Unreadable } from '../../origin-adapters/feeds/postgres/byte-reader.ts';
import { readColumnText } from '../../origin-adapters/feeds/postgres/column-text.ts';
import { readPgOutput } from '../../origin-adapters/feeds/postgres/pgoutput.ts';
import {
  formatLsn,
  formatPosition,
  parseLsn,
  parsePosition,
} from '../../origin-adapters/feeds/postgres/position.ts';
import { ReplicationStream } from '../../origin-adapters/feeds/postgres/replication-stream.ts';
import { TransactionReader } from '../../origin-adapters/feeds/postgres/transactions.ts';
import { postgresFeed } from '../../origin-adapters/feeds/postgres.ts';
import { settle } from '../support/barrier.ts';
import { fc } from '../support/properties.ts';
import { FakeClock } from './fake-clock.ts';

const { comparePositions, schema, showPosition } = postgresFeed;

describe('a Postgres position', () => {
  const lsn = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

  it('is written as the same number, in 64 bits', () => {
    fc.assert(
      fc.property(lsn, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value, system) => {
        const commit = { beginLsn: value, endLsn: value, xid: 7, atMicros: value >> 1n };
        const position = { lsn: value, system: String(system), timeline: '3', publications: '1.2', commit };
        expect(parsePosition(formatPosition(position))).toEqual(position);
        const bare = { ...position, publications: '', commit: null };
        expect(parsePosition(formatPosition(bare))).toEqual(bare);
        expect(parseLsn(formatLsn(value))).toBe(value);
        expect(showPosition(formatPosition(position))).toBe(formatLsn(value));
      }),
    );
  });

  it('is compared as a number, never as text', () => {
    fc.assert(
      fc.property(lsn, lsn, (a, b) => {
        const expected = a === b ? 0 : a < b ? -1 : 1;
        expect(comparePositions(formatLsn(a), `${formatLsn(b)}@1:1`)).toBe(expected);
      }),
    );
    expect(comparePositions('0/9@1:1', '0/10@1:1')).toBe(-1);
    expect(comparePositions('0/9@1:1#5#0/8-0/9-700-1', '0/10@1:1#6#')).toBe(-1);
  });

  it('that was saved without a commit is read, but proves nothing', () => {
    expect(parsePosition('0/9@1:1')).toEqual({
      lsn: 9n,
      system: '1',
      timeline: '1',
      publications: '',
      commit: null,
    });
  });

  it('has no order with one of another log, nor with a malformed one', () => {
    expect(comparePositions('0/9@1:1', '0/10@1:2')).toBeNull();
    expect(comparePositions('0/9@1:1', '0/10@2:1')).toBeNull();
    expect(comparePositions('0/9', '10')).toBeNull();
    expect(comparePositions('0/9', '0/10@x')).toBeNull();
  });
});

describe('the options of a Postgres feed', () => {
  const options = { url: 'postgres://weir@db.example/shop', slot: 'weir_a', publication: 'weir' };

  it('are a url, a slot and a publication', () => {
    expect(schema.parse(options)).toEqual({
      ...options,
      'max-transaction': 64 * 2 ** 20,
      'mark-after': 256 * 2 ** 10,
    });
  });

  it.each([
    { url: 'http://db.example/shop' },
    { url: 'postgres://db.example/shop' },
    { url: 'postgres://weir@db.example' },
    { url: 'postgres://weir@db.example/shop?sslmode=disable' },
    { url: 'postgres://weir:100%@db.example/shop' },
    { slot: 'Weir' },
    { slot: 'a"b' },
    { publication: [] },
    { 'max-transaction': '1B' },
    { create: true },
  ])('are not $0', (wrong) => {
    expect(schema.safeParse({ ...options, ...wrong }).success).toBe(false);
  });

  it('name hosts, sockets and percent-encoded parts', () => {
    expect(parseAddress('postgresql://w%40x:p%2Fq@[::1]:6000/my%20shop')).toEqual({
      host: '::1',
      port: 6000,
      user: 'w@x',
      password: 'p/q',
      database: 'my shop',
    });
    expect(parseAddress('postgres://weir@%2Frun%2Fpostgresql/shop')).toMatchObject({
      host: '/run/postgresql',
      port: 5432,
      password: null,
    });
  });
});

describe('the text of a column', () => {
  it('stays text where it is not an array', () => {
    expect(readColumnText('[2:3]={1,2}', 1007)).toBe('[2:3]={1,2}');
    expect(readColumnText('{}', 1007)).toEqual([]);
  });

  it('stays text where it is not JSON', () => {
    expect(readColumnText('{', 3802)).toBe('{');
  });

  it('is an array of the texts in it', () => {
    const element = fc.oneof(fc.string(), fc.constantFrom('NULL', '', '"', '\\', ',', '{', '}', ' a '));
    fc.assert(
      fc.property(fc.array(element), (elements) => {
        const quoted = elements.map((text) => `"${text.replaceAll(/["\\]/g, String.raw`\$&`)}"`);
        expect(readColumnText(`{${quoted.join(',')}}`, 1009)).toEqual(elements);
      }),
    );
  });
});

describe('messages of pgoutput', () => {
  it('are unreadable where they violate the protocol, whatever the bytes', () => {
    const message = fc.tuple(fc.constantFrom(...'BCRIUDTOYMX'), fc.uint8Array({ maxLength: 60 }));
    fc.assert(
      fc.property(message, ([tag, bytes]) => {
        try {
          readPgOutput(new ByteReader(Buffer.concat([Buffer.from(tag), bytes])));
        } catch (error) {
          expect(error).toBeInstanceOf(Unreadable);
        }
      }),
    );
  });

  it("make only that transaction unintelligible in which a row can't be read", () => {
    const reader = new TransactionReader(1_000);
    expect([begin, insertInto(7), commit(1)].map((message) => reader.take(message)).at(-1)).toMatchObject({
      kind: 'unintelligible',
      reason: 'a row of a table that was not described',
      commit: { endLsn: 1n },
    });
    expect(
      [begin, relation(7), insertInto(7), commit(2)].map((message) => reader.take(message)).at(-1),
    ).toMatchObject({
      kind: 'changes',
      changes: [{ after: { id: '1' } }],
    });
  });

  it('end the stream where they are out of order', () => {
    expect(() => new TransactionReader(1_000).take(commit(1))).toThrow(Unreadable);
    expect(() => new TransactionReader(1_000).take(insertInto(7))).toThrow(Unreadable);
    const reader = new TransactionReader(1_000);
    reader.take(begin);
    expect(() => reader.take(begin)).toThrow(Unreadable);
  });

  it('keep nothing of a transaction beyond its limit', () => {
    const reader = new TransactionReader(1_000);
    reader.take(begin);
    reader.take(relation(7));
    for (let row = 0; row < 1_000; row++) reader.take(insertInto(7));
    expect(reader.take(commit(1))).toMatchObject({
      kind: 'unintelligible',
      reason: 'a transaction is larger than 1000 bytes',
    });
  });
});

describe('a replication stream', () => {
  async function streaming() {
    const clock = new FakeClock();
    const connection = Object.assign(new EventEmitter(), {
      stream: new PassThrough(),
      sent: [] as Uint8Array[],
      sendCopyFromChunk: (chunk: Uint8Array) => void connection.sent.push(chunk),
    });
    const client = Object.assign(new EventEmitter(), {
      connection,
      connect: () => Promise.resolve(),
      query: () => new Promise<never>(() => undefined),
      end: () => Promise.resolve(),
    }) satisfies Client;
    const stream = new ReplicationStream(client, clock, 1_000, 5_000);
    const started = stream.start({
      slot: 's',
      publications: ['p'],
      lsn: 1n,
      durableLsn: 1n,
      withMessages: true,
    });
    connection.emit('replicationStart');
    await started;
    const send = (chunk: Buffer): void => void connection.emit('copyData', { chunk });
    const sendData = (message: Buffer): void =>
      send(Buffer.concat([Buffer.from('w'), Buffer.alloc(24), message]));
    return { clock, connection, stream, send, sendData };
  }

  it('reports a long transaction, so that the stream does not look dead', async () => {
    const { clock, stream, sendData } = await streaming();
    for (const message of [begin, relation(7), insertInto(7)]) sendData(message);
    clock.advance(5_000);
    sendData(insertInto(7));
    sendData(insertInto(7));
    sendData(commit(9));
    expect(await stream.next()).toEqual({ kind: 'underway' });
    expect(await stream.next()).toMatchObject({
      kind: 'transaction',
      transaction: { commit: { endLsn: 9n } },
    });
  });

  it('answers a keepalive at once with what is durable, without advancing the slot', async () => {
    const { connection, stream, send, sendData } = await streaming();
    for (const message of [begin, relation(7), insertInto(7), commit(9)]) sendData(message);
    send(keepalive(9n, true));
    const update = Buffer.from(connection.sent.at(-1)!);
    expect(update.toString('latin1', 0, 1)).toBe('r');
    expect([1, 9, 17].map((offset) => update.readBigUInt64BE(offset))).toEqual([1n, 0n, 1n]);
    stream.confirm(9n, 7n);
    const confirmation = Buffer.from(connection.sent.at(-1)!);
    expect([1, 9, 17].map((offset) => confirmation.readBigUInt64BE(offset))).toEqual([9n, 7n, 9n]);
    stream.confirm(4n, 3n);
    expect(connection.sent).toHaveLength(2);
    stream.confirm(10n, 7n);
    expect(Buffer.from(connection.sent.at(-1)!).readBigUInt64BE(9)).toBe(0n);
  });

  it('lets other work run between the pieces of a large transaction', async () => {
    const { connection, sendData } = await streaming();
    for (const message of [begin, relation(7)]) sendData(message);
    let rows = 0;
    for (; rows < 100_000 && !connection.stream.isPaused(); rows++) sendData(insertInto(7));
    expect(rows).toBeLessThan(10_000);
    await settle(1);
    expect(connection.stream.isPaused()).toBe(false);
  });

  it('proves nothing within a transaction', async () => {
    const { stream, send, sendData } = await streaming();
    sendData(begin);
    send(keepalive(50n, false));
    expect(await stream.next()).toMatchObject({ kind: 'keepalive', isBetween: false });
  });

  it('keeps no reference to bytes that the library overwrites', async () => {
    const { stream, send } = await streaming();
    const chunks = [begin, relation(7), insertInto(7), commit(9)].map((message) =>
      Buffer.concat([Buffer.from('w'), Buffer.alloc(24), message]),
    );
    for (const chunk of chunks) {
      send(chunk);
      chunk.fill(0xff);
    }
    expect(await stream.next()).toMatchObject({ transaction: { changes: [{ after: { id: '1' } }] } });
  });
});

const begin = Buffer.concat([Buffer.from('B'), Buffer.alloc(20)]);

function commit(endLsn: number): Buffer {
  const message = Buffer.alloc(26);
  message.write('C');
  message.writeBigUInt64BE(BigInt(endLsn), 10);
  return message;
}

/** A table with one column of type text, its key. */
function relation(id: number): Buffer {
  const parts = [Buffer.from('public\0rows\0d\0\x01\x01id\0'), uint32(25), uint32(0xffff_ffff)];
  return Buffer.concat([Buffer.from('R'), uint32(id), ...parts]);
}

function insertInto(relationId: number): Buffer {
  return Buffer.concat([
    Buffer.from('I'),
    uint32(relationId),
    Buffer.from('N\0\x01t'),
    uint32(1),
    Buffer.from('1'),
  ]);
}

function keepalive(walEnd: bigint, asksForReply: boolean): Buffer {
  const message = Buffer.alloc(18);
  message.write('k');
  message.writeBigUInt64BE(walEnd, 1);
  message.writeUInt8(asksForReply ? 1 : 0, 17);
  return message;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
