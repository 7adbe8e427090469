import { z } from 'zod';
import { size } from '../../../policies/config/units.ts';
import { saslSchema, tlsSchema } from './security.ts';

const broker = z
  .string()
  .regex(/^([^\s:/,[\]]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?$/, { error: 'a broker such as kafka1:9092' })
  .refine((written) => Number(/:(\d+)$/.exec(written)?.[1] ?? 0) < 65_536, { error: 'a port below 65536' });
const topic = z.string().regex(/^[\w.-]{1,249}$/, { error: 'the name of a topic' });

/** The keys of a `kafka` feed in addition to those of every feed. */
export const kafkaSchema = z.strictObject({
  brokers: z
    .union([broker, z.array(broker).min(1)], { error: 'host:port, or a list of them' })
    .describe('Initial brokers, host:port; they name the others.'),
  topics: z
    .union([topic, z.array(topic).min(1)], { error: "a topic's name, or a list of them" })
    .describe('The topics to read, with all their partitions.'),
  tls: tlsSchema,
  sasl: saslSchema,
  'max-bytes': size({ least: 65_536 })
    .refine((bytes) => bytes <= 2 ** 30, { error: 'a size from 64KiB to 1GiB' })
    .prefault('4MiB')
    .describe('The bytes to read ahead from each broker. A larger batch of messages is still read, alone.'),
});

export type KafkaOptions = z.output<typeof kafkaSchema>;
