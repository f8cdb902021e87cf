import type { ReactNode } from "react";
import type { AlertView } from "../../api/index.ts";
import { Link } from "../../components/link.tsx";
import { DeviceLink } from "../../shell/device-link.tsx";

/** What an alert is about, as the way there. */
export function Subject({ alert, tenant }: { alert: AlertView; tenant: string }): ReactNode {
  const { subjectKind, subjectId } = alert;
  if (subjectKind === "device") {
    return <DeviceLink deviceId={subjectId} />;
  }
  if (subjectKind === "rollout") {
    return (
      <Link to="/t/$tenant/rollouts/$rollout" params={{ tenant, rollout: subjectId }}>
        the rollout
      </Link>
    );
  }
  // There is one of it: "the fleet", not "fleet fleet".
  return subjectId === subjectKind ? `the ${subjectKind}` : `${subjectKind} ${subjectId}`;
}
