// Opens a report's page in a browser, where Chromium is installed (Debian: chromium), and compares
// what is drawn with the run's metrics: the values at the places of the points.
#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/support/training.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// Reads from each chart, where its points are on the canvas, and what the axes say about that.
constexpr const char* reader = R"(<script>
addEventListener('load', () => {
  const drawn = {};
  for (const canvas of document.querySelectorAll('canvas')) {
    const chart = Chart.getChart(canvas);
    const { x, y } = chart.scales;
    drawn[canvas.closest('figure').id] = {
      width: canvas.width, height: canvas.height, range: y.max - y.min,
      series: chart.data.datasets.map((set, i) => ({
        label: set.label,
        points: chart.getDatasetMeta(i).data.map((p) => [x.getValueForPixel(p.x), y.getValueForPixel(p.y)]),
      })),
    };
  }
  const result = document.createElement('pre');
  result.id = 'drawn';
  result.textContent = JSON.stringify(drawn);
  document.body.append(result);
});
</script>)";

bool has_chromium() {
  return std::system("command -v chromium >/dev/null") == 0;  // NOLINT: no user's text in it
}

std::string text_of(const fs::path& path) {
  std::ifstream stream(path);
  return {(std::istreambuf_iterator<char>(stream)), {}};
}

bool embeds_chart_library(const fs::path& page) {
  return text_of(page).find("Chart.js v") != std::string::npos;
}

// The charts of the page, as the browser drew them in a window of this size.
Json drawn_in(const fs::path& page, const std::string& size) {
  std::string text = text_of(page);
  text.insert(text.find("</body>"), reader);
  const fs::path copy = page.parent_path() / "browser.html";
  std::ofstream(copy) << text;
  const Finished finished = run({"chromium", "--headless", "--no-sandbox", "--disable-gpu",
                                 "--user-data-dir=" + (page.parent_path() / "profile").string(),
                                 "--window-size=" + size, "--dump-dom", "file://" + copy.string()});
  EXPECT_EQ(finished.status, 0);
  const std::string begin = "<pre id=\"drawn\">";
  const auto at = finished.output.find(begin);
  if (at == std::string::npos) return nullptr;
  const auto from = at + begin.size();
  return Json::parse(finished.output.substr(from, finished.output.find("</pre>", from) - from));
}

TEST(ReportInABrowser, DrawsTheNumbersOfTheMetrics) {
  if (!has_chromium()) GTEST_SKIP() << "this machine has no chromium";
  const Scratch scratch;
  const Training training{.pipeline = 2, .options = {"--train.steps", "6", "--eval.every", "3"}};
  ASSERT_EQ(train(scratch, "run", training).status, 0);
  ASSERT_EQ(run({program(), "report", scratch.path("run").string()}).status, 0);
  const std::vector<Json> lines = metrics(scratch, "run");
  if (!embeds_chart_library(scratch.path("run") / "report.html")) {
    GTEST_SKIP() << "this program was built without Chart.js";
  }
  for (const std::string size : {"1200,900", "400,800"}) {
    const Json drawn = drawn_in(scratch.path("run") / "report.html", size);
    ASSERT_TRUE(drawn.is_object()) << "the page's scripts have failed";
    const auto expect_points = [&](const char* figure, std::size_t index, const char* key) {
      const Json& chart = drawn.at(figure);
      EXPECT_GT(chart.at("width"), 200) << size;
      // A quarter of a pixel, or what is lost on the way to one.
      const double near = chart.at("range").get<double>() / chart.at("height").get<double>() / 4;
      std::size_t place = 0;
      const Json& points = chart.at("series").at(index).at("points");
      for (const Json& line : lines) {
        if (!line.contains(key)) continue;
        ASSERT_LT(place, points.size()) << key;
        EXPECT_NEAR(points[place][0].get<double>(), line.at("step").get<double>(), 0.02) << key;
        EXPECT_NEAR(points[place][1].get<double>(), line.at(key).get<double>(), near) << key;
        ++place;
      }
      EXPECT_EQ(place, points.size()) << key;
    };
    expect_points("loss", 0, "loss");
    expect_points("loss", 1, "eval_loss");
    expect_points("grad-norm", 0, "grad_norm");
    expect_points("lr", 0, "lr");
    expect_points("tokens", 0, "tokens_per_second");
    expect_points("mfu", 0, "mfu");
    expect_points("bubble", 0, "bubble");
    EXPECT_GE(drawn.at("memory").at("series").size(), 5U);
  }
}

}  // namespace
}  // namespace masformer::test
