import { compileRoute, type CompiledRoute } from '../../policies/compiled-routes.ts';
import type { Config } from '../../policies/config/config.ts';
import { compileRoutes, type Router } from '../../policies/routing.ts';
import type { Origin } from '../../origin-adapters/origin.ts';

/** A route of the configuration in force, with the origin that its requests are sent to. */
export interface ActiveRoute extends CompiledRoute {
  readonly origin: Origin;
}

/** The parts of a configuration that a worker uses; a reload replaces them together. */
export interface RuntimeConfiguration {
  readonly config: Config;
  readonly router: Router;
  readonly routes: ReadonlyMap<string, ActiveRoute>;
}

/** `origins`: the adapters of `config`'s origins by name. Throws where one is missing. */
export function compileConfiguration(
  config: Config,
  origins: ReadonlyMap<string, Origin>,
): RuntimeConfiguration {
  const routes = config.routes.map((route, index): [string, ActiveRoute] => {
    const origin = origins.get(route.origin);
    if (origin === undefined) throw new Error(`no adapter of the origin ${route.origin}`);
    return [route.name, { ...compileRoute(config, route, index), origin }];
  });
  return { config, router: compileRoutes(config.routes), routes: new Map(routes) };
}
