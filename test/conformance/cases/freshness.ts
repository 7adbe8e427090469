/** RFC 9111 §4.2: which answers are fresh, by Cache-Control, Expires, Age and heuristics. */
import { at, notReused, reused, type Case, type Values } from '../case.ts';

const aged = (lifetime: string, age: string): Values => ['Cache-Control', lifetime, 'Age', age];
const DAY = 24 * 60 * 60;

const stated: Case[] = [
  notReused('required', '§4.2.2 there is no heuristic without Last-Modified', []),
  reused('optional', '§5.2.2.1 max-age', ['Cache-Control', 'max-age=3600']),
  reused('optional', '§5.2.2.1 max-age of 2^31', ['Cache-Control', 'max-age=2147483648']),
  reused('optional', '§1.2.2 max-age far beyond 2^31', ['Cache-Control', 'max-age=99999999999']),
  notReused('required', '§5.2.2.1 max-age=0', ['Cache-Control', 'max-age=0']),
  notReused('required', '§4.2.3 an Age beyond max-age', aged('max-age=3600', '7200')),
  reused('optional', '§4.2.3 an Age below max-age', aged('max-age=3600', '1800')),
  reused('optional', '§4.2.1 max-age before an Expires in the past', [
    'Cache-Control',
    'max-age=3600',
    'Expires',
    at(-10_000),
  ]),
  reused('optional', '§4.2.1 max-age before an invalid Expires', [
    'Cache-Control',
    'max-age=3600',
    'Expires',
    '0',
  ]),
  notReused('required', '§4.2.1 max-age=0 before an Expires in the future', [
    'Cache-Control',
    'max-age=0',
    'Expires',
    at(10_000),
  ]),
  reused('optional', '§5.2.3 an unknown directive is ignored', [
    'Cache-Control',
    'colour=blue, max-age=3600',
  ]),
  reused('optional', '§5.2 directives in mixed case', ['Cache-Control', 'mAX-aGE=3600']),
  reused('optional', '§5.2.2.10 s-maxage', ['Cache-Control', 's-maxage=3600']),
  reused('optional', '§5.2.2.10 s-maxage before a shorter max-age', [
    'Cache-Control',
    'max-age=0, s-maxage=3600',
  ]),
  reused('optional', '§5.2.2.10 s-maxage before an Expires in the past', [
    'Cache-Control',
    's-maxage=3600',
    'Expires',
    at(-10_000),
  ]),
  notReused('required', '§5.2.2.10 s-maxage before a longer max-age', [
    'Cache-Control',
    'max-age=3600, s-maxage=0',
  ]),
  notReused('required', '§5.2.2.10 s-maxage before a longer max-age, in the other order', [
    'Cache-Control',
    's-maxage=0, max-age=3600',
  ]),
  notReused('required', '§5.2.2.10 s-maxage before a longer max-age, on two lines', [
    'Cache-Control',
    'max-age=3600',
    'Cache-Control',
    's-maxage=0',
  ]),
  reused('optional', '§5.3 Expires in the future', ['Expires', at(3600)]),
  notReused('required', '§5.3 Expires in the past', ['Expires', at(-3600)]),
  notReused('required', '§5.3 Expires equal to Date', ['Expires', at(0), 'Date', at(0)]),
  notReused('required', '§4.2.3 an Age beyond Expires', ['Expires', at(3600), 'Age', '7200']),
  notReused('required', '§4.2.3 a Date in the past counts as age', [
    'Cache-Control',
    'max-age=3600',
    'Date',
    at(-7200),
  ]),
  reused('optional', '§4.2.3 a Date in the future does not make the answer younger', [
    'Cache-Control',
    'max-age=3600',
    'Date',
    at(7200),
  ]),
  notReused('required', '§5.3 an Expires in the past with an older Date', [
    'Date',
    at(-7200),
    'Expires',
    at(-3600),
  ]),
];

const broken: Case[] = [
  notReused('required', '§5.2 max-age in single quotes', ['Cache-Control', "max-age='3600'"]),
  reused('optional', '§5.2 max-age in double quotes', ['Cache-Control', 'max-age="3600"']),
  reused('optional', '§1.2.2 max-age with leading zeros', ['Cache-Control', 'max-age=003600']),
  notReused('required', '§1.2.2 a negative max-age', ['Cache-Control', 'max-age=-3600']),
  notReused('optional', '§4.2.1 letters before the number', ['Cache-Control', 'max-age=a3600']),
  notReused('optional', '§4.2.1 letters after the number', ['Cache-Control', 'max-age=3600a']),
  notReused('optional', '§4.2.1 a fraction', ['Cache-Control', 'max-age=3600.5']),
  notReused('optional', '§4.2.1 white space before the equals sign', ['Cache-Control', 'max-age =3600']),
  notReused('optional', '§4.2.1 white space after the equals sign', ['Cache-Control', 'max-age= 3600']),
  notReused('optional', '§4.2.1 no value', ['Cache-Control', 'max-age']),
  notReused('optional', '§4.2.1 two values, the first longer', ['Cache-Control', 'max-age=3600, max-age=0']),
  notReused('optional', '§4.2.1 two values, the second longer', ['Cache-Control', 'max-age=0, max-age=3600']),
  notReused('required', '§5.2 max-age within another directive’s quotes, before', [
    'Cache-Control',
    'note="max-age=3600", max-age=0',
  ]),
  notReused('required', '§5.2 max-age within another directive’s quotes, after', [
    'Cache-Control',
    'max-age=0, note="max-age=3600"',
  ]),
  notReused('required', '§5.2 a comma in quotes does not end a directive', [
    'Cache-Control',
    'note="a, max-age=3600, b", max-age=0',
  ]),
  notReused('required', '§5.3 Expires: 0', ['Expires', '0']),
  notReused('required', '§5.3 an empty Expires', ['Expires', '']),
  notReused('required', '§5.3 Expires: never', ['Expires', 'never']),
  reused('optional', '§5.3 Expires in the form of RFC 850', ['Expires', 'Thursday, 18-Aug-50 02:01:18 GMT']),
  reused('optional', '§5.3 Expires in the form of asctime', ['Expires', 'Thu Aug  8 02:01:18 2050']),
  reused('optional', '§5.3 Expires in upper case', ['Expires', 'THU, 18 AUG 2050 02:01:18 GMT']),
  notReused('required', '§5.6.7 an Expires in another time zone', [
    'Expires',
    'Thu, 18 Aug 2050 02:01:18 AEST',
  ]),
  notReused('optional', '§5.3 two different Expires', ['Expires', at(3600), 'Expires', at(7200)]),
];

const ages: Case[] = [
  ['2147483647', false],
  ['2147483648', false],
  ['99999999999', false],
  ['7200, 0', false],
  ['abc', true],
  ['-7200', true],
  ['7200.0', true],
  ['0, 7200', true],
  ['0, 0', true],
  ['', true],
].map(([age, fresh]) =>
  (fresh === true ? reused : notReused)(
    'required',
    `§5.1 Age: ${String(age)}`,
    aged('max-age=3600', String(age)),
  ),
);

const lines: Case[] = [
  notReused('required', '§5.1 the first of two Age lines counts: an old one', [
    ...aged('max-age=3600', '7200'),
    'Age',
    '0',
  ]),
  reused('required', '§5.1 the first of two Age lines counts: a new one', [
    ...aged('max-age=3600', '0'),
    'Age',
    '7200',
  ]),
];

const modified: Values = ['Last-Modified', at(-10 * DAY), 'Date', at(0)];
const guesses: Case[] = [
  ...[200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501].map((status) =>
    reused('optional', `§4.2.2 a ${status} may have a heuristic lifetime`, modified, { status }),
  ),
  ...[201, 202, 302, 303, 307, 400, 403, 500, 502, 503, 504, 599].map((status) =>
    notReused('required', `§4.2.2 a ${status} may not have a heuristic lifetime`, modified, { status }),
  ),
  reused(
    'optional',
    '§4.2.2 an unknown status may have one with public',
    [...modified, 'Cache-Control', 'public'],
    {
      status: 599,
    },
  ),
  notReused('required', '§4.2.2 there is no heuristic with an Expires in the past', [
    ...modified,
    'Expires',
    at(-1),
  ]),
  notReused('required', '§4.2.2 there is no heuristic with max-age=0', [
    ...modified,
    'Cache-Control',
    'max-age=0',
  ]),
  reused('optional', '§4.2.2 an attachment is stored like other content', [
    ...modified,
    'Content-Disposition',
    'attachment; filename=a.txt',
  ]),
];

const shown: Case[] = [
  {
    name: '§5.1 an answer from the cache has an Age',
    level: 'required',
    steps: [
      { say: { fields: ['Cache-Control', 'max-age=3600'] }, from: 'origin' },
      { from: 'cache', ageAtLeast: 0 },
    ],
  },
  ...(['max-age=3600', ''] as const).map((lifetime): Case => ({
    name: `§4.2.3 Age continues from the received one, by ${lifetime === '' ? 'Expires' : 'max-age'}`,
    level: 'required',
    steps: [
      { say: { fields: ['Cache-Control', lifetime, 'Expires', at(3600), 'Age', '30'] }, from: 'origin' },
      { from: 'cache', ageAtLeast: 30 },
    ],
  })),
  {
    name: '§4 Date and Expires are unchanged',
    level: 'required',
    steps: [
      {
        say: {
          fields: ['Date', 'Thu, 01 Jan 2026 00:00:00 GMT', 'Expires', 'Fri, 01 Jan 2038 00:00:00 GMT'],
        },
        from: 'origin',
      },
      {
        from: 'cache',
        has: ['Date', 'Thu, 01 Jan 2026 00:00:00 GMT', 'Expires', 'Fri, 01 Jan 2038 00:00:00 GMT'],
      },
    ],
  },
];

export const freshness: readonly Case[] = [...stated, ...broken, ...ages, ...lines, ...guesses, ...shown];
