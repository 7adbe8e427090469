import { createParser } from 'eventsource-parser';
import { describe, expect, it } from 'vitest';
import { EventStreamParser, type ServerSentItem } from '../../origin-adapters/feeds/event-stream.ts';
import { fc } from '../support/properties.ts';

function parse(pieces: readonly string[], limit = 1_000): ServerSentItem[] {
  const parser = new EventStreamParser(limit);
  return pieces.flatMap((piece) => parser.feed(piece));
}

describe('the event stream parser (HTML §9.2.6)', () => {
  const cases: [string, string, ServerSentItem[]][] = [
    ['joins data lines', 'data: a\ndata: b\n\n', [{ kind: 'block', event: '', id: null, data: 'a\nb' }]],
    ['removes one space', 'data:  a\n\n', [{ kind: 'block', event: '', id: null, data: ' a' }]],
    ['reads event and id', 'event:x\nid:1\ndata\n\n', [{ kind: 'block', event: 'x', id: '1', data: '' }]],
    [
      'yields an event without data',
      'event: reset\n\n',
      [{ kind: 'block', event: 'reset', id: null, data: null }],
    ],
    ['yields an id alone', 'id: 7\n\n', [{ kind: 'block', event: '', id: '7', data: null }]],
    ['yields an empty id', 'id\n\n', [{ kind: 'block', event: '', id: '', data: null }]],
    ['ignores an id with NUL', 'id: a\0b\ndata: x\n\n', [{ kind: 'block', event: '', id: null, data: 'x' }]],
    ['ignores retry and unknown fields', 'retry: 1\nfoo: bar\n\n', []],
    ['drops a block that the end cuts off', 'data: a\n', []],
    [
      'keeps comments in their place',
      'data: a\n\n: hi\n',
      [{ kind: 'block', event: '', id: null, data: 'a' }, { kind: 'comment' }],
    ],
  ];

  it.each(cases)('%s', (_what, text, items) => {
    expect(parse([text])).toEqual(items);
  });

  it.each(['\n', '\r', '\r\n'])('ends lines at %j, wherever the stream is cut', (end) => {
    const text = ['event: a', 'id: 1', 'data: x', '', ': c', 'data: y', '', ''].join(end);
    const whole = parse([text]);
    expect(whole).toHaveLength(3);
    expect(parse(Array.from(text))).toEqual(whole);
  });

  it('stops at its limit', () => {
    const piece = `data: ${'x'.repeat(600)}\n`;
    expect(parse([piece, piece, '\n', 'data: y\n\n'])).toEqual([{ kind: 'too-long' }]);
    expect(parse(['x'.repeat(1_001)])).toEqual([{ kind: 'too-long' }]);
  });

  it('yields what eventsource-parser yields', () => {
    const line = fc.constantFrom(
      'data: a',
      'data:b',
      'data',
      'event: e',
      'id: 1',
      'id:',
      ': c',
      'foo',
      '',
      '',
      '',
    );
    const end = fc.constantFrom('\n', '\r', '\r\n');
    fc.assert(
      fc.property(fc.array(fc.tuple(line, end)), fc.integer({ min: 1, max: 7 }), (lines, width) => {
        // A final piece of its own, because the library waits for more after a CR.
        const text = `${lines.map((parts) => parts.join('')).join('')}\n: end\n`;
        const pieces = Array.from({ length: Math.ceil(text.length / width) }, (_, i) =>
          text.slice(i * width, (i + 1) * width),
        );
        const events: unknown[] = [];
        const parser = createParser({
          onEvent: ({ event, id, data }) => events.push({ event: event ?? '', id: id ?? null, data }),
        });
        for (const piece of pieces) parser.feed(piece);
        const own = parse(pieces)
          .filter((item) => item.kind === 'block')
          .filter((item) => item.data !== null)
          .map(({ event, id, data }) => ({ event, id, data }));
        expect(own).toEqual(events);
      }),
    );
  });
});
