import { describe, expect, it } from 'vitest';
import { parseCloudEvents } from '../../origin-adapters/formats/cloudevents.ts';
import { parseDebezium } from '../../origin-adapters/formats/debezium.ts';
import type { Format, ParsedMessage } from '../../origin-adapters/formats/format.ts';
import { formats, messageEvent } from '../../origin-adapters/formats/formats.ts';
import { parseJson } from '../../origin-adapters/formats/json.ts';
import type { Change } from '../../policies/change.ts';
import { fc } from '../support/properties.ts';

interface Extras {
  readonly fields?: readonly string[];
  readonly key?: unknown;
}

function parse(format: Format, content: unknown, extras: Extras = {}): ParsedMessage {
  const body = Buffer.from(typeof content === 'string' ? content : JSON.stringify(content));
  const key = extras.key === undefined ? null : Buffer.from(JSON.stringify(extras.key));
  return format({ body, fields: extras.fields ?? [], key });
}

function changesOf(parsed: ParsedMessage): readonly Change[] {
  if (parsed.kind !== 'transaction') throw new Error(parsed.reason);
  return parsed.changes;
}

function isUnintelligible(parsed: ParsedMessage): boolean {
  return parsed.kind === 'unintelligible' && parsed.reason !== '';
}

describe('every format', () => {
  it.each(Object.entries(formats))('%s never throws, whatever the bytes', (_name, format) => {
    const headers = fc.constantFrom(
      [],
      [
        'content-type',
        'application/json',
        'ce-specversion',
        '1.0',
        'ce-id',
        '%',
        'ce-source',
        's',
        'ce-type',
        't',
      ],
      ['content-type', 'application/cloudevents+json'],
    );
    const bytes = fc.oneof(
      fc.uint8Array(),
      fc.json().map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(bytes, headers, fc.option(bytes), (body, fields, key) => {
        expect(['transaction', 'unintelligible']).toContain(format({ body, fields, key }).kind);
      }),
    );
  });

  it.each(Object.entries(formats))('%s limits the depth of nesting', (_name, format) => {
    expect(isUnintelligible(parse(format, '['.repeat(200_000)))).toBe(true);
    const deep = `${'{"a":'.repeat(200_000)}1${'}'.repeat(200_000)}`;
    expect(isUnintelligible(parse(format, deep))).toBe(true);
  });

  it('gives the event of a message at its position', () => {
    const message = { body: Buffer.from('[]'), fields: [] };
    expect(messageEvent(parseJson, message, '7')).toEqual({ kind: 'change', position: '7', changes: [] });
    const broken = messageEvent(parseJson, { body: Buffer.from('['), fields: [] }, '8');
    expect(broken).toMatchObject({ kind: 'unintelligible', position: '8' });
  });
});

describe('format json', () => {
  it('reads an object as one change', () => {
    const row = { table: 'products', op: 'update', before: { id: 1 }, after: { id: 2 } };
    expect(changesOf(parse(parseJson, row))).toEqual([
      { message: [row], before: { id: 1 }, after: { id: 2 }, known: 'all' },
    ]);
  });

  it('reads an array as one transaction', () => {
    expect(changesOf(parse(parseJson, [{ id: 1 }, { id: 2 }]))).toHaveLength(2);
    expect(changesOf(parse(parseJson, []))).toEqual([]);
  });

  it.each(['', '7', 'null', '"x"', '[1]', '[{"id":1},null]', '{"id":1', '{"id":1} x'])(
    'does not understand %j',
    (text) => {
      expect(isUnintelligible(parse(parseJson, text))).toBe(true);
    },
  );

  it('rejects bytes that are not UTF-8', () => {
    const body = Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]);
    expect(isUnintelligible(parseJson({ body, fields: [] }))).toBe(true);
  });

  it('does not round integers', () => {
    const [change] = changesOf(
      parse(
        parseJson,
        '{"a":9007199254740993,"b":-9007199254740993,"c":9007199254740991,"d":1.5,"e":[12345678901234567890]}',
      ),
    );
    expect(change!.message[0]).toEqual({
      a: '9007199254740993',
      b: '-9007199254740993',
      c: 9007199254740991,
      d: 1.5,
      e: ['12345678901234567890'],
    });
  });
});

describe('format cloudevents', () => {
  const event = { specversion: '1.0', id: 'e1', source: '/shop', type: 'product.changed' };
  const binary = ['ce-specversion', '1.0', 'ce-id', 'e1', 'CE-Source', '/shop', 'ce-type', 'product.changed'];

  it('reads the structured mode: both attributes and data', () => {
    const data = { id: 7, before: { id: 6 }, after: { id: 7 } };
    const [change] = changesOf(parse(parseCloudEvents, { ...event, data }));
    expect(change).toEqual({
      message: [{ ...event, data }, data],
      before: { id: 6 },
      after: { id: 7 },
      known: 'all',
    });
  });

  it('reads the binary mode, with percent-encoded attributes', () => {
    const fields = [
      ...binary,
      'ce-subject',
      'caf%C3%A9 100%25',
      'Content-Type',
      'application/json; charset=utf-8',
    ];
    const [change] = changesOf(parse(parseCloudEvents, { id: 7 }, { fields }));
    expect(change!.message).toEqual([{ ...event, subject: 'café 100%', data: { id: 7 } }, { id: 7 }]);
  });

  it('reads the same from both modes', () => {
    const fields = [...binary, 'content-type', 'application/vnd.shop+json'];
    const structured = parse(parseCloudEvents, { ...event, data: { id: '9007199254740993' } });
    expect(parse(parseCloudEvents, '{"id":9007199254740993}', { fields })).toEqual(structured);
  });

  it('reads a batch as one transaction', () => {
    const fields = ['Content-Type', 'application/cloudevents-batch+json'];
    const batch = [
      { ...event, data: { id: 1 } },
      { ...event, id: 'e2', data: { id: 2 } },
    ];
    expect(changesOf(parse(parseCloudEvents, batch, { fields }))).toHaveLength(2);
    expect(changesOf(parse(parseCloudEvents, [], { fields }))).toEqual([]);
  });

  it('reads data that is a list of rows as several changes', () => {
    expect(changesOf(parse(parseCloudEvents, { ...event, data: [{ id: 1 }, { id: 2 }] }))).toHaveLength(2);
  });

  it('reads data in base64', () => {
    const encoded = Buffer.from('{"id":7}').toString('base64');
    const [change] = changesOf(parse(parseCloudEvents, { ...event, data_base64: encoded }));
    expect(change!.message[1]).toEqual({ id: 7 });
  });

  it('reads the attributes of an event without data, or with data that is not JSON', () => {
    expect(changesOf(parse(parseCloudEvents, event))[0]!.message).toEqual([{ ...event, data: null }]);
    const fields = [...binary, 'content-type', 'image/png'];
    expect(changesOf(parse(parseCloudEvents, 'x', { fields }))[0]!.message).toEqual([
      { ...event, data: null },
    ]);
  });

  const broken: [string, unknown, readonly string[]][] = [
    ['another version', { ...event, specversion: '0.3' }, []],
    ['no id', { ...event, id: undefined }, []],
    ['an empty source', { ...event, source: '' }, []],
    ['a type that is not a text', { ...event, type: 7 }, []],
    ['a batch with something else in it', [event, 7], []],
    ['data_base64 that is not a text', { ...event, data_base64: 7 }, []],
    ['binary without an id', {}, ['ce-specversion', '1.0', 'ce-source', 's', 'ce-type', 't']],
    ['binary mode with malformed JSON', 'nonsense', binary],
    ['text', '"x"', []],
  ];

  it.each(broken)('rejects %s', (_what, content, fields) => {
    expect(isUnintelligible(parse(parseCloudEvents, content, { fields }))).toBe(true);
  });
});

describe('format debezium', () => {
  const source = { db: 'shop', schema: 'public', table: 'products' };
  const update = { op: 'u', before: { id: 1, price: 1 }, after: { id: 1, price: 2 }, source };

  it('reads an envelope, with and without its schema', () => {
    const change: Change = {
      message: [{ op: 'update', database: 'shop', schema: 'public', table: 'products' }, update],
      before: { id: 1, price: 1 },
      after: { id: 1, price: 2 },
      known: 'all',
    };
    expect(changesOf(parse(parseDebezium, update))).toEqual([change]);
    expect(changesOf(parse(parseDebezium, { schema: { type: 'struct' }, payload: update }))).toEqual([
      change,
    ]);
  });

  it.each([
    ['c', 'insert'],
    ['r', 'snapshot'],
    ['d', 'delete'],
    ['t', 'truncate'],
  ])('calls op %s %s', (op, word) => {
    const [change] = changesOf(parse(parseDebezium, { ...update, op }));
    expect(change!.message[0]!['op']).toBe(word);
    expect(change!.known).toBe(op === 't' ? 'no-row' : 'all');
  });

  it.each<[string, unknown]>([
    ['a tombstone', ''],
    ['a tombstone with its schema', { schema: null, payload: null }],
    ['where a transaction begins', { status: 'BEGIN', id: '571', event_count: null }],
    ['where a transaction ends', { status: 'END', id: '571', event_count: 2 }],
    ['a heartbeat', { ts_ms: 1 }],
    ['a message of the application', { op: 'm', source, message: { prefix: 'x' } }],
  ])('treats %s as no change', (_what, content) => {
    expect(parse(parseDebezium, content)).toEqual({ kind: 'transaction', changes: [] });
  });

  it.each<[string, unknown]>([
    ['a change of the schema', { source, databaseName: 'shop', ddl: 'TRUNCATE products' }],
    ['an unknown op', { ...update, op: 'z' }],
    ['a flattened row', { id: 1, price: 2 }],
    ['a list', [update]],
    ['nonsense', 'x'],
  ])('rejects %s', (_what, content) => {
    expect(isUnintelligible(parse(parseDebezium, content))).toBe(true);
  });

  it('uses the old values of columns with a placeholder, or leaves them out', () => {
    const unavailable = '__debezium_unavailable_value';
    const envelope = { ...update, before: { id: 1, text: 'old' }, after: { id: 1, text: unavailable } };
    expect(changesOf(parse(parseDebezium, envelope))[0]!.after).toEqual({ id: 1, text: 'old' });
    const untold = { ...update, before: null, after: { id: 1, text: unavailable } };
    expect(changesOf(parse(parseDebezium, untold))[0]!.after).toEqual({ id: 1 });
  });

  it('knows only the key of an old row that is missing', () => {
    const untold = { ...update, before: null };
    const withKey = changesOf(parse(parseDebezium, untold, { key: { schema: {}, payload: { id: 1 } } }))[0]!;
    expect(withKey).toMatchObject({ before: { id: 1 }, known: 'key-of-before' });
    expect(changesOf(parse(parseDebezium, untold))[0]).toMatchObject({ before: null, known: 'all' });
    const insert = { ...untold, op: 'c' };
    expect(changesOf(parse(parseDebezium, insert, { key: { id: 1 } }))[0]).toMatchObject({ known: 'all' });
  });
});
