/** RFC 9111 §4.1, §5.2.1, §5.4 and §2: how a request affects the answer that it gets. */
import { at, type Case, type Step, type Values } from '../case.ts';

const FRESH: Values = ['Cache-Control', 'max-age=3600'];
const first = (more: Values = [], asked: Values = []): Step => ({
  ask: { fields: asked },
  say: { fields: [...FRESH, ...more] },
  from: 'origin',
});

function varies(
  level: Case['level'],
  name: string,
  vary: string,
  asked: Values,
  then: Values,
  from: 'origin' | 'cache',
): Case {
  const say = { fields: [...FRESH, 'Vary', vary] };
  return {
    name: `§4.1 ${name}`,
    level,
    steps: [
      { ask: { fields: asked }, say, from: 'origin' },
      { ask: { fields: then }, say, from },
    ],
  };
}

const vary: Case[] = [
  varies('optional', 'the same value', 'Foo', ['Foo', '1'], ['foo', '1'], 'cache'),
  varies('required', 'another value', 'Foo', ['Foo', '1'], ['Foo', '2'], 'origin'),
  varies('required', 'a value after none', 'Foo', [], ['Foo', '1'], 'origin'),
  varies('required', 'no value after one', 'Foo', ['Foo', '1'], [], 'origin'),
  varies('required', 'an empty value after none', 'Foo', [], ['Foo', ''], 'origin'),
  varies(
    'optional',
    'fields that Vary does not name',
    'Foo',
    ['Foo', '1', 'Bar', '1'],
    ['Foo', '1', 'Bar', '2'],
    'cache',
  ),
  varies('optional', 'two fields', 'Foo, Bar', ['Foo', '1', 'Bar', 'x'], ['Bar', 'x', 'Foo', '1'], 'cache'),
  varies(
    'required',
    'two fields, the first differs',
    'Foo, Bar',
    ['Foo', '1', 'Bar', 'x'],
    ['Foo', '2', 'Bar', 'x'],
    'origin',
  ),
  varies(
    'required',
    'two fields, the second is left out',
    'Foo, Bar',
    ['Foo', '1', 'Bar', 'x'],
    ['Foo', '1'],
    'origin',
  ),
  varies(
    'optional',
    'three fields',
    'Foo, Bar, Baz',
    ['Foo', '1', 'Bar', 'x', 'Baz', '9'],
    ['Baz', '9', 'Bar', 'x', 'Foo', '1'],
    'cache',
  ),
  varies(
    'required',
    'three fields, the last differs',
    'Foo, Bar, Baz',
    ['Foo', '1', 'Bar', 'x', 'Baz', '9'],
    ['Foo', '1', 'Bar', 'x', 'Baz', '8'],
    'origin',
  ),
  varies(
    'optional',
    'three fields, one left out both times',
    'Foo, Bar, Baz',
    ['Foo', '1', 'Baz', '9'],
    ['Foo', '1', 'Baz', '9'],
    'cache',
  ),
  varies('required', 'a star', '*', ['Foo', '1'], ['Foo', '1'], 'origin'),
  varies('required', 'two stars', '*, *', [], [], 'origin'),
  varies('required', 'an empty member and a star', ', *', [], [], 'origin'),
  varies('required', 'a star and a name', '*, Foo', ['Foo', '1'], ['Foo', '1'], 'origin'),
  varies('required', 'a name and a star', 'Foo, *', ['Foo', '1'], ['Foo', '1'], 'origin'),
  varies('required', 'an invalid name counts as a star', 'Foo Bar', ['Foo', '1'], ['Foo', '1'], 'origin'),
  varies('optional', 'several lines as one list', 'Foo', ['Foo', '1, 2'], ['Foo', '1', 'Foo', '2'], 'cache'),
  varies('optional', 'white space around commas', 'Foo', ['Foo', '1,2'], ['Foo', ' 1 ,  2 '], 'cache'),
  varies(
    'optional',
    'languages in another case',
    'Accept-Language',
    ['Accept-Language', 'en, de'],
    ['Accept-Language', 'eN, De'],
    'cache',
  ),
  varies(
    'optional',
    'languages with other white space',
    'Accept-Language',
    ['Accept-Language', 'en, de'],
    ['Accept-Language', ' en ,  de'],
    'cache',
  ),
  varies(
    'optional',
    'codings in another order',
    'Accept-Encoding',
    ['Accept-Encoding', 'gzip, br'],
    ['Accept-Encoding', 'br, gzip'],
    'cache',
  ),
  varies('required', 'a cookie that Vary names', 'Cookie', ['Cookie', 'a=1'], ['Cookie', 'a=2'], 'origin'),
  {
    name: '§4.1 a selected coding serves a client that offers only that coding',
    level: 'optional',
    steps: [
      first(['Vary', 'Accept-Encoding', 'Content-Encoding', 'gzip'], ['Accept-Encoding', 'gzip, br']),
      { ask: { fields: ['Accept-Encoding', 'gzip'] }, from: 'cache' },
      {
        ask: { fields: ['Accept-Encoding', 'br'] },
        say: { fields: [...FRESH, 'Vary', 'Accept-Encoding'] },
        from: 'origin',
      },
    ],
  },
  {
    name: '§4.1 the preferred language serves a client that prefers it',
    level: 'optional',
    steps: [
      first(['Vary', 'Accept-Language', 'Content-Language', 'de'], ['Accept-Language', 'en, de']),
      { ask: { fields: ['Accept-Language', 'fr;q=0.5, de;q=1.0'] }, from: 'cache' },
      {
        ask: { fields: ['Accept-Language', 'fr, de;q=0.9'] },
        say: { fields: [...FRESH, 'Vary', 'Accept-Language'] },
        from: 'origin',
      },
    ],
  },
  {
    name: '§4.1 two variants are stored at once',
    level: 'optional',
    steps: [
      first(['Vary', 'Foo'], ['Foo', '1']),
      { ...first(['Vary', 'Foo'], ['Foo', '2']) },
      { ask: { fields: ['Foo', '1'] }, from: 'cache', bodyOf: 0 },
      { ask: { fields: ['Foo', '2'] }, from: 'cache', bodyOf: 1 },
    ],
  },
  {
    name: '§4.1 Vary on two lines',
    level: 'required',
    steps: [
      first(['Vary', 'Foo', 'Vary', 'Bar'], ['Foo', '1', 'Bar', '1']),
      first(['Vary', 'Foo', 'Vary', 'Bar'], ['Foo', '1', 'Bar', '2']),
    ],
  },
  {
    name: '§4.1 a star on a line of its own',
    level: 'required',
    steps: [first(['Vary', '', 'Vary', '*']), first(['Vary', '', 'Vary', '*'])],
  },
];

function wanted(name: string, said: Values, asked: string, from: 'origin' | 'cache', status?: number): Case {
  const say = { fields: said };
  const then: Step = { ask: { fields: ['Cache-Control', asked] }, say, from };
  return {
    name: `§5.2.1 ${name}`,
    level: 'optional',
    steps: [{ say, from: 'origin' }, status === undefined ? then : { ...then, status }],
  };
}

const STALE: Values = ['Cache-Control', 'max-age=1000', 'Age', '1500', 'ETag', '"1"'];
const directives: Case[] = [
  wanted('max-age=0', [...FRESH, 'Age', '10'], 'max-age=0', 'origin'),
  wanted('max-age below the age', [...FRESH, 'Age', '1800'], 'max-age=600', 'origin'),
  wanted('max-age above the age', [...FRESH, 'Age', '1800'], 'max-age=2000', 'cache'),
  wanted('max-stale within', STALE, 'max-stale=1000', 'cache'),
  wanted('max-stale beyond', STALE, 'max-stale=100', 'origin'),
  wanted('max-stale without a value', STALE, 'max-stale', 'cache'),
  wanted(
    'max-stale where the answer forbids it',
    ['Cache-Control', 'max-age=1000, must-revalidate', 'Age', '1500', 'ETag', '"1"'],
    'max-stale',
    'origin',
  ),
  wanted('min-fresh beyond', FRESH, 'min-fresh=4000', 'origin'),
  wanted('min-fresh within', FRESH, 'min-fresh=1000', 'cache'),
  wanted('min-fresh counts the age', [...FRESH, 'Age', '3000'], 'min-fresh=1000', 'origin'),
  wanted('no-cache', FRESH, 'no-cache', 'origin'),
  {
    name: '§5.2.1.4 no-cache validates by ETag',
    level: 'optional',
    steps: [
      first(['ETag', '"1"']),
      { ask: { fields: ['Cache-Control', 'no-cache'] }, say: { fields: FRESH }, from: 'etag' },
    ],
  },
  {
    name: '§5.2.1.4 no-cache validates by Last-Modified',
    level: 'optional',
    steps: [
      first(['Last-Modified', at(-1000)]),
      { ask: { fields: ['Cache-Control', 'no-cache'] }, say: { fields: FRESH }, from: 'date' },
    ],
  },
  {
    name: '§5.2.1.5 the answer to no-store is not stored',
    level: 'required',
    steps: [
      { ask: { fields: ['Cache-Control', 'no-store'] }, say: { fields: FRESH }, from: 'origin' },
      { say: { fields: FRESH }, from: 'origin' },
    ],
  },
  {
    name: '§5.2.1.7 only-if-cached gets a stored answer',
    level: 'optional',
    steps: [first(), { ask: { fields: ['Cache-Control', 'only-if-cached'] }, from: 'cache' }],
  },
  {
    name: '§5.4 Pragma: no-cache alone is as no-cache',
    level: 'optional',
    steps: [first(), { ask: { fields: ['Pragma', 'no-cache'] }, say: { fields: FRESH }, from: 'origin' }],
  },
  {
    name: '§5.4 Pragma has no effect with Cache-Control',
    level: 'optional',
    steps: [
      first(),
      { ask: { fields: ['Pragma', 'no-cache', 'Cache-Control', 'max-age=1000'] }, from: 'cache' },
    ],
  },
];

const keys: Case[] = [
  {
    name: '§2 another query is another key',
    level: 'required',
    steps: [
      { ask: { more: '?a=1' }, say: { fields: FRESH }, from: 'origin' },
      { ask: { more: '?a=2' }, say: { fields: FRESH }, from: 'origin' },
    ],
  },
  {
    name: '§2 the same query is the same key',
    level: 'optional',
    steps: [
      { ask: { more: '?a=1' }, say: { fields: FRESH }, from: 'origin' },
      { ask: { more: '?a=1' }, from: 'cache' },
    ],
  },
  {
    name: 'a request with cookies gets a stored answer',
    level: 'optional',
    steps: [first(), { ask: { fields: ['Cookie', 'a=b'] }, from: 'cache' }],
  },
  {
    name: '§4.3 HEAD is answered from a stored GET',
    level: 'optional',
    steps: [
      first(['Foo', '1']),
      { ask: { method: 'HEAD' }, from: 'cache', has: ['Foo', '1', 'Content-Length', '17'] },
    ],
  },
];

const interim: Case[] = [102, 103].flatMap((status): Case[] => [
  {
    name: `RFC 9110 §15.2 a ${status} is passed on, and only the final answer is stored`,
    level: 'optional',
    steps: [
      {
        say: { interim: [{ status, fields: ['Link', '</a.css>; rel=preload', 'Foo', 'x'] }], fields: FRESH },
        from: 'origin',
        interim: [status],
        lacks: ['Foo'],
      },
      { from: 'cache', interim: [], lacks: ['Foo', 'Link'] },
    ],
  },
]);

export const requests: readonly Case[] = [...vary, ...directives, ...keys, ...interim];
