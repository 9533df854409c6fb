use std::process::ExitCode;

use comfy_table::Table;

use super::args::DevicesArgs;
use crate::device::adapters;
use crate::error::Result;

pub(super) fn run(args: &DevicesArgs) -> Result<ExitCode> {
    let adapters = adapters();
    if args.json {
        say!("{}", serde_json::to_string_pretty(&adapters).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.set_header(["--device", "name", "kind", "API", "driver", "f16", "largest binding"]);
    for adapter in &adapters {
        let binding = match adapter.max_binding_mib {
            0 => "-".to_owned(),
            mib => format!("{mib} MiB"),
        };
        let f16 = if adapter.f16 { "yes" } else { "no" };
        table.add_row([
            &adapter.choice,
            &adapter.name,
            &adapter.kind,
            &adapter.api,
            &adapter.driver,
            f16,
            binding.as_str(),
        ]);
    }
    say!("{table}");
    let auto = adapters.iter().find(|adapter| adapter.choice != "software");
    let auto = auto.map_or("cpu", |adapter| &adapter.choice);
    say!("`auto` takes {auto}; a software rasteriser is used only when named.");
    Ok(ExitCode::SUCCESS)
}
