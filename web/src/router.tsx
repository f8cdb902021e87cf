import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  notFound,
  Outlet,
  redirect,
} from "@tanstack/react-router";
import { ApiError, api, sessionQuery } from "./api/index.ts";
import { ListSkeleton } from "./components/states.tsx";
import { NoTenant } from "./pages/no-tenant.tsx";
import { SignInPage } from "./pages/sign-in.tsx";
import { BrokenPage, UnknownPage } from "./shell/broken-page.tsx";
import { Shell } from "./shell/shell.tsx";
import { homeTenant, PLACES, tenantWith } from "./short-links.ts";

/** Search parameters: absent means the usual. */
function optional<Name extends string>(...names: Name[]) {
  return (search: Record<string, unknown>): Partial<Record<Name, string>> =>
    Object.fromEntries(
      names
        .filter((name) => typeof search[name] === "string" || typeof search[name] === "number")
        .filter((name) => search[name] !== "")
        .map((name) => [name, String(search[name])]),
    ) as Partial<Record<Name, string>>;
}

const root = createRootRouteWithContext<{ queryClient: QueryClient }>()({
  component: Outlet,
  notFoundComponent: UnknownPage,
});

const signIn = createRoute({
  getParentRoute: () => root,
  path: "/sign-in",
  validateSearch: optional("next", "problem"),
  component: SignInPage,
});

/** Everything behind it needs a session. */
const signedIn = createRoute({
  getParentRoute: () => root,
  id: "signed-in",
  beforeLoad: async ({ context, location }) => {
    try {
      const session = await context.queryClient.ensureQueryData(sessionQuery);
      if (session.mustEnrol && location.pathname !== "/enrol") throw redirect({ to: "/enrol" });
      return { session };
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      const next = location.href === "/" ? undefined : location.href;
      throw redirect({ to: "/sign-in", search: next ? { next } : {} });
    }
  },
  errorComponent: BrokenPage,
});

const enrol = createRoute({
  getParentRoute: () => signedIn,
  path: "/enrol",
  component: lazyRouteComponent(() => import("./pages/account/enrol-page.tsx"), "EnrolPage"),
});

const home = createRoute({
  getParentRoute: () => signedIn,
  path: "/",
  beforeLoad: ({ context }) => {
    const found = homeTenant(context.session);
    if (found) throw redirect({ to: "/t/$tenant/fleet", params: { tenant: found.id } });
  },
  component: NoTenant,
});

/** Addresses without a tenant, as messages and the command line name them. */
const shortPlace = createRoute({
  getParentRoute: () => signedIn,
  path: "/$place",
  beforeLoad: ({ context, params }) => {
    const found = homeTenant(context.session);
    if (!found || !PLACES.includes(params.place)) throw notFound();
    throw redirect({ href: `/t/${found.id}/${params.place}` });
  },
});

const shortRollout = createRoute({
  getParentRoute: () => signedIn,
  path: "/rollouts/$rollout",
  beforeLoad: async ({ context, params }) => {
    const found = await tenantWith(context.session, (id) => api.rollout(id, params.rollout));
    throw redirect({
      to: "/t/$tenant/rollouts/$rollout",
      params: { tenant: found, rollout: params.rollout },
    });
  },
});

const shortDevice = createRoute({
  getParentRoute: () => signedIn,
  path: "/devices/$device",
  beforeLoad: async ({ context, params }) => {
    const found = await tenantWith(context.session, (id) => api.device(id, params.device));
    throw redirect({
      to: "/t/$tenant/devices/$device",
      params: { tenant: found, device: params.device },
    });
  },
});

const tenant = createRoute({
  getParentRoute: () => signedIn,
  path: "/t/$tenant",
  component: Shell,
  notFoundComponent: UnknownPage,
});

const tenantHome = createRoute({
  getParentRoute: () => tenant,
  path: "/",
  beforeLoad: ({ params }) => {
    throw redirect({ to: "/t/$tenant/fleet", params });
  },
});

const fleet = createRoute({
  getParentRoute: () => tenant,
  path: "/fleet",
  validateSearch: optional("q", "sort"),
  component: lazyRouteComponent(() => import("./pages/fleet/fleet-page.tsx"), "FleetPage"),
});

const health = createRoute({
  getParentRoute: () => tenant,
  path: "/health",
  validateSearch: optional("by", "across"),
  component: lazyRouteComponent(() => import("./pages/health/health-page.tsx"), "HealthPage"),
});

const device = createRoute({
  getParentRoute: () => tenant,
  path: "/devices/$device",
  validateSearch: optional("tab", "command"),
  component: lazyRouteComponent(() => import("./pages/device/device-page.tsx"), "DevicePage"),
});

const telemetry = createRoute({
  getParentRoute: () => tenant,
  path: "/telemetry",
  validateSearch: optional(
    ...(["tab", "metric", "q", "by", "aggregate", "transform"] as const),
    ...(["across", "top", "fill", "range", "from", "to", "compare"] as const),
  ),
  component: lazyRouteComponent(
    () => import("./pages/telemetry/telemetry-page.tsx"),
    "TelemetryPage",
  ),
});

const rollouts = createRoute({
  getParentRoute: () => tenant,
  path: "/rollouts",
  validateSearch: optional("release"),
  component: lazyRouteComponent(() => import("./pages/rollouts/rollouts-page.tsx"), "RolloutsPage"),
});

const rollout = createRoute({
  getParentRoute: () => tenant,
  path: "/rollouts/$rollout",
  validateSearch: optional("state", "stage"),
  component: lazyRouteComponent(() => import("./pages/rollout/rollout-page.tsx"), "RolloutPage"),
});

const commands = createRoute({
  getParentRoute: () => tenant,
  path: "/commands",
  component: lazyRouteComponent(() => import("./pages/commands/batches-page.tsx"), "BatchesPage"),
});

const commandBatch = createRoute({
  getParentRoute: () => tenant,
  path: "/commands/$batch",
  validateSearch: optional("status"),
  component: lazyRouteComponent(() => import("./pages/commands/batch-page.tsx"), "BatchPage"),
});

const releases = createRoute({
  getParentRoute: () => tenant,
  path: "/releases",
  validateSearch: optional("tab", "q", "product", "channel", "status"),
  component: lazyRouteComponent(() => import("./pages/releases/releases-page.tsx"), "ReleasesPage"),
});

const release = createRoute({
  getParentRoute: () => tenant,
  path: "/releases/$release",
  validateSearch: optional("q"),
  component: lazyRouteComponent(() => import("./pages/release/release-page.tsx"), "ReleasePage"),
});

const certificates = createRoute({
  getParentRoute: () => tenant,
  path: "/certificates",
  validateSearch: optional("tab", "status", "algorithm", "after", "before", "step"),
  component: lazyRouteComponent(
    () => import("./pages/certificates/certificates-page.tsx"),
    "CertificatesPage",
  ),
});

const alerts = createRoute({
  getParentRoute: () => tenant,
  path: "/alerts",
  validateSearch: optional("tab", "state", "severity", "alert"),
  component: lazyRouteComponent(() => import("./pages/alerts/alerts-page.tsx"), "AlertsPage"),
});

const logs = createRoute({
  getParentRoute: () => tenant,
  path: "/logs",
  validateSearch: optional(
    ...(["words", "level", "device", "trace", "range", "q", "group", "logger", "field"] as const),
  ),
  component: lazyRouteComponent(() => import("./pages/logs/logs-page.tsx"), "LogsPage"),
});

const trace = createRoute({
  getParentRoute: () => tenant,
  path: "/traces/$trace",
  component: lazyRouteComponent(() => import("./pages/trace/trace-page.tsx"), "TracePage"),
});

const audit = createRoute({
  getParentRoute: () => tenant,
  path: "/audit",
  component: lazyRouteComponent(() => import("./pages/audit-page.tsx"), "AuditPage"),
});

const settings = createRoute({
  getParentRoute: () => tenant,
  path: "/settings",
  validateSearch: optional("tab"),
  component: lazyRouteComponent(() => import("./pages/settings/settings-page.tsx"), "SettingsPage"),
});

const platform = createRoute({
  getParentRoute: () => tenant,
  path: "/platform",
  validateSearch: optional("tab"),
  component: lazyRouteComponent(() => import("./pages/platform/platform-page.tsx"), "PlatformPage"),
});

const account = createRoute({
  getParentRoute: () => tenant,
  path: "/account",
  component: lazyRouteComponent(() => import("./pages/account/account-page.tsx"), "AccountPage"),
});

const tree = root.addChildren([
  signIn,
  signedIn.addChildren([
    home,
    enrol,
    shortPlace,
    shortRollout,
    shortDevice,
    tenant.addChildren([
      tenantHome,
      fleet,
      health,
      telemetry,
      device,
      rollouts,
      rollout,
      commands,
      commandBatch,
      releases,
      release,
      certificates,
      alerts,
      logs,
      trace,
      audit,
      settings,
      platform,
      account,
    ]),
  ]),
]);

export function createConsoleRouter(queryClient: QueryClient) {
  return createRouter({
    routeTree: tree,
    context: { queryClient },
    defaultPreload: "intent",
    defaultPendingComponent: ListSkeleton,
    defaultErrorComponent: BrokenPage,
    scrollRestoration: true,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createConsoleRouter>;
  }
}
