import type { Config, OriginConfig } from '../../policies/config/config.ts';
import { startDemoShop, type DemoShop } from '../../origin-adapters/demo/shop.ts';

const DEMO_URL = 'demo:';

/** The built-in demo shops: one for each origin with the URL `demo:`, started when it is first configured. */
export class DemoShops {
  readonly #shops = new Map<string, DemoShop>();

  async start(config: Config): Promise<void> {
    for (const { name, urls, demo } of Object.values(config.origins)) {
      if (!urls.includes(DEMO_URL) || this.#shops.has(name)) continue;
      this.#shops.set(name, await startDemoShop({ port: 0, delayMs: demo.delayMs }));
    }
  }

  /** URLs by origin name. */
  urls(): Record<string, string> {
    return Object.fromEntries([...this.#shops].map(([name, { url }]) => [name, url]));
  }

  /** The configured origins, with `demo:` replaced by the URLs of the shops. */
  originsOf(config: Config): OriginConfig[] {
    return Object.values(config.origins).map((origin) => this.#withAddress(origin));
  }

  #withAddress(origin: OriginConfig): OriginConfig {
    const urls = origin.urls.map((url) => (url === DEMO_URL ? this.#shops.get(origin.name)!.url : url));
    return { ...origin, urls };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#shops.values()].map((shop) => shop.close()));
  }
}
